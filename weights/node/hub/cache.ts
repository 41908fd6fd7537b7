import { randomUUID } from "node:crypto";
import { copyFile, link, mkdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { writeFileAtomically } from "../file.ts";
import { COMMIT } from "./names.ts";
import { fileSize } from "./partial.ts";

/**
 * A repository's folder in the cache, as `huggingface_hub` and `@huggingface/hub` lay it out:
 *
 *     models--OWNER--NAME/
 *       blobs/HASH                    each content once
 *       snapshots/COMMIT/FILE         a link to its blob
 *       refs/REVISION                 the commit a branch or tag was at when last asked
 *       .no_exist/COMMIT/FILE         the repository has no such file
 */
export class RepoCache {
  readonly #folder: string;
  readonly #symlinks: boolean;

  constructor(cache: string, repo: string, symlinks: boolean) {
    this.#folder = join(cache, ["models", ...repo.split("/")].join("--"));
    this.#symlinks = symlinks;
  }

  blob(etag: string): string {
    return join(this.#folder, "blobs", etag);
  }

  snapshot(commit: string): string {
    return join(this.#folder, "snapshots", commit);
  }

  file(commit: string, name: string): string {
    return join(this.snapshot(commit), ...name.split("/"));
  }

  /** Whether a snapshot has a file; a link whose blob is gone does not count. */
  async has(commit: string, name: string): Promise<boolean> {
    return (await fileSize(this.file(commit, name))) !== undefined;
  }

  async prepare(): Promise<void> {
    await mkdir(join(this.#folder, "blobs"), { recursive: true });
  }

  async isKnownMissing(commit: string, name: string): Promise<boolean> {
    return stat(this.#noExist(commit, name)).then(
      () => true,
      () => false,
    );
  }

  /** If the cache cannot be written, the hub only has to be asked again. */
  async noteMissing(commit: string, name: string): Promise<void> {
    const path = this.#noExist(commit, name);
    await mkdir(dirname(path), { recursive: true })
      .then(() => writeFile(path, ""))
      .catch(() => {});
  }

  #noExist(commit: string, name: string): string {
    return join(this.#folder, ".no_exist", commit, ...name.split("/"));
  }

  /** The commit of a branch or tag when it was last asked for. */
  async ref(revision: string): Promise<string | undefined> {
    const commit = (await readFile(this.#ref(revision), "utf8").catch(() => "")).trim();
    return COMMIT.test(commit) ? commit : undefined;
  }

  async writeRef(revision: string, commit: string): Promise<void> {
    if ((await this.ref(revision)) === commit) return;
    const path = this.#ref(revision);
    await mkdir(dirname(path), { recursive: true });
    await writeFileAtomically(
      path,
      (async function* () {
        yield new TextEncoder().encode(commit);
      })(),
    );
  }

  #ref(revision: string): string {
    return join(this.#folder, "refs", ...revision.split("/"));
  }

  /** Makes a blob appear in a snapshot, at once and whole: by a link, or by a copy where there are no links. */
  async publish(commit: string, name: string, etag: string): Promise<void> {
    const target = this.file(commit, name);
    const blob = this.blob(etag);
    const made = `${blob}.${randomUUID().slice(0, 8)}.link`;
    await mkdir(dirname(target), { recursive: true });
    try {
      await (this.#symlinks ? symlink(relative(dirname(target), blob), made) : Promise.reject())
        .catch(() => link(blob, made))
        .catch(() => copyFile(blob, made));
      await rename(made, target);
    } finally {
      await rm(made, { force: true });
    }
  }
}
