import { ResonantError } from "../../../common/errors.ts";
import { invalidFile } from "../../refuse.ts";
import { RepoCache } from "./cache.ts";
import { describe, placeOf, type RemoteFile } from "./describe.ts";
import { downloadBlob } from "./download.ts";
import { COMMIT, checkFile, checkRepo, checkRevision } from "./names.ts";
import { fileSize } from "./partial.ts";
import { type Hub, HubUnreachable, PATIENCE, type Patience } from "./request.ts";
import { type HubSettings, hubSettings } from "./settings.ts";

/** A revision of a repository, and how to fetch from it. */
export interface HubOptions {
  /** `owner/name`, or the name alone of the few models that have no owner. */
  readonly repo: string;
  /** A branch, a tag or a commit; `main` if none is given. */
  readonly revision?: string | undefined;
  /** Told of a file, and its bytes so far and in all, while it is fetched. */
  readonly onProgress?: ((file: string, done: number, total: number) => void) | undefined;
  /** Told why, where the hub cannot be asked and what an earlier call fetched is used. */
  readonly onFallback?: ((reason: ResonantError) => void) | undefined;
  /** Aborting it ends the call with the signal's reason; what has come is kept. */
  readonly signal?: AbortSignal | undefined;
  /** Where `HF_HOME` and the others are read from, by default the process's environment. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** By default 5 attempts that bring nothing, the first pause half a second, 30 s without a byte. */
  readonly patience?: Partial<Patience> | undefined;
}

/** A file by its name, which has to be there unless it is said to be optional. */
export type WantedFile = string | { readonly name: string; readonly optional: true };

/**
 * Fetches files of a model from a Hugging Face hub into the cache that the hub's Python and JavaScript libraries
 * share. A file that is there already is not fetched again; a commit's files need no request at all, a branch or tag
 * one HEAD that says which commit it is at.
 *
 * @returns the snapshot's folder, which holds those files, and others if they were fetched before
 * @throws ResonantError `invalid_argument` for a name that is none, a repository or revision that is not there or not
 *   to be read, or a cache that cannot be written; `invalid_file` for a file that is not there, cannot be fetched, or
 *   is not what the hub says; the signal's reason
 */
export async function fetchFromHub(
  options: HubOptions & { readonly files: readonly WantedFile[] },
): Promise<string> {
  const snapshot = await Snapshot.open(options);
  const files = options.files.map((file) =>
    typeof file === "string" ? { name: file, optional: false } : file,
  );
  for (const { name } of files) checkFile(name);
  // One that has to be there says which commit the revision is at, whatever the others say.
  for (const { name, optional } of files.toSorted((a, b) => Number(a.optional) - Number(b.optional)))
    if (!(await snapshot.want(name)) && !optional) throw snapshot.lacks(name);
  return snapshot.publish();
}

/** Files of one commit: first those wanted are asked for, then all are fetched, and only then does any appear. */
export class Snapshot {
  readonly #options: HubOptions;
  readonly #revision: string;
  readonly #settings: HubSettings;
  readonly #cache: RepoCache;
  readonly #hub: Hub;
  readonly #wanted = new Map<string, RemoteFile>();
  #commit: string | undefined;
  /** Why nothing is asked of the hub. */
  #offline: ResonantError | "asked for" | undefined;

  /** @throws ResonantError `invalid_argument` for a name or a setting that cannot be one */
  static async open(options: HubOptions): Promise<Snapshot> {
    checkRepo(options.repo);
    checkRevision(options.revision ?? "main");
    return new Snapshot(options, await hubSettings(options.env));
  }

  private constructor(options: HubOptions, settings: HubSettings) {
    this.#options = options;
    this.#settings = settings;
    this.#revision = options.revision ?? "main";
    this.#commit = COMMIT.test(this.#revision) ? this.#revision : undefined;
    this.#cache = new RepoCache(settings.cache, options.repo, settings.symlinks);
    this.#hub = {
      endpoint: settings.endpoint,
      token: settings.token,
      signal: options.signal,
      patience: { ...PATIENCE, ...options.patience },
    };
    if (settings.offline) this.#offline = "asked for";
  }

  /** Says whether the commit has a file, and remembers to fetch it. */
  async want(name: string): Promise<boolean> {
    checkFile(name);
    this.#options.signal?.throwIfAborted();
    const first = this.#commit === undefined ? await this.#resolve(name) : undefined;
    const commit = this.#commit;
    if (commit === undefined) return false;
    if (await this.#cache.has(commit, name)) return true;
    if (this.#offline || (await this.#cache.isKnownMissing(commit, name))) return false;
    const found = first ?? (await describe(this.#hub, this.#options.repo, commit, name));
    if ("missing" in found) {
      await this.#cache.noteMissing(commit, name);
      return false;
    }
    this.#wanted.set(name, found);
    return true;
  }

  /** Asks which commit the revision is at, by way of a file; without the hub, recalls at which it was. */
  async #resolve(name: string): Promise<Awaited<ReturnType<typeof describe>> | undefined> {
    const known = await this.#cache.ref(this.#revision);
    if (this.#offline) {
      this.#commit = known;
      return undefined;
    }
    // Who has something to fall back on need not wait long.
    const { patience } = this.#hub;
    const hub = known
      ? { ...this.#hub, patience: { ...patience, tries: Math.min(2, patience.tries) } }
      : this.#hub;
    try {
      const found = await describe(hub, this.#options.repo, this.#revision, name);
      this.#commit = found.commit;
      return found;
    } catch (error) {
      if (!(error instanceof HubUnreachable) || !known) throw error;
      this.#offline = error;
      this.#commit = known;
      return undefined;
    }
  }

  /** A wanted file's path, fetched now if need be; it is not yet in the snapshot. */
  async bring(name: string): Promise<string> {
    const file = this.#wanted.get(name);
    if (!file) return this.#cache.file(this.#commit ?? "", name);
    const blob = this.#cache.blob(file.etag);
    if ((await fileSize(blob)) === file.size) return blob;
    await this.#onDisk(async () => {
      await this.#cache.prepare();
      await downloadBlob(this.#hub, file, blob, (done) => this.#options.onProgress?.(name, done, file.size));
    });
    return blob;
  }

  /** Fetches all that is wanted, then makes it appear, then notes where the revision is. Returns the folder. */
  async publish(): Promise<string> {
    const commit = this.#commit;
    if (commit === undefined) throw this.lacks("");
    for (const name of this.#wanted.keys()) await this.bring(name);
    await this.#onDisk(async () => {
      for (const { name, etag } of this.#wanted.values()) await this.#cache.publish(commit, name, etag);
    });
    if (this.#offline instanceof ResonantError) this.#options.onFallback?.(this.#offline);
    else if (this.#revision !== commit && !this.#offline) {
      // Where all was there already, the cache may be one that cannot be written.
      await this.#cache.writeRef(this.#revision, commit).catch((error) => {
        if (this.#wanted.size > 0) throw error;
      });
    }
    return this.#cache.snapshot(commit);
  }

  /** An error for a file that has to be there, and is not. */
  lacks(name: string): ResonantError {
    const { repo } = this.#options;
    const where = placeOf(repo, this.#revision, name);
    if (this.#offline instanceof ResonantError) return this.#offline;
    if (this.#offline) {
      return invalidFile(
        where,
        `it is not in ${this.#settings.cache}, and HF_HUB_OFFLINE forbids to fetch it`,
        "Unset HF_HUB_OFFLINE once, or set HF_HOME to where the model is",
      );
    }
    return invalidFile(
      where,
      "the repository has no such file",
      `See ${this.#hub.endpoint}/${repo}/tree/main`,
    );
  }

  async #onDisk(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const { code, syscall, path } = error as NodeJS.ErrnoException;
      if (error instanceof ResonantError || typeof syscall !== "string" || typeof code !== "string")
        throw error;
      throw new ResonantError("invalid_argument", `the cache cannot be written (${code})`, {
        where: path ?? this.#settings.cache,
        fix: "Make room there, or set HF_HOME to a folder that this user can write",
        cause: error,
      });
    }
  }
}
