import { ResonantError } from "../../../common/errors.ts";
import { invalidFile } from "../../refuse.ts";
import { RepoCache } from "./cache.ts";
import { describe, placeOf, type RemoteFile } from "./describe.ts";
import { downloadBlob } from "./download.ts";
import { COMMIT, checkFile, checkRepo, checkRevision } from "./names.ts";
import { fileSize } from "./partial.ts";
import { fetchThrough, proxyFor } from "./proxy.ts";
import { type Hub, HubUnreachable, PATIENCE, type Patience } from "./request.ts";
import { type Environment, type HubSettings, hubSettings } from "./settings.ts";

/** A revision of a repository, and how to fetch from it. */
export interface HubOptions {
  /** `owner/name`, or only the name for the few models that have no owner. */
  readonly repo: string;
  /** A branch, a tag or a commit; by default `main`. */
  readonly revision?: string | undefined;
  /** Called with a file, its bytes so far and its size, while it is fetched. */
  readonly onProgress?: ((file: string, done: number, total: number) => void) | undefined;
  /** Called with the reason if the hub cannot be asked and files of an earlier call are used. */
  readonly onFallback?: ((reason: ResonantError) => void) | undefined;
  /** Aborting it ends the call with the signal's reason; what has arrived is kept. */
  readonly signal?: AbortSignal | undefined;
  /** Where `HF_HOME` and the other variables are read from; by default the process's environment. */
  readonly env?: Environment | undefined;
  /** By default: 5 attempts that bring nothing new, a first pause of half a second, 30 s without a byte. */
  readonly patience?: Partial<Patience> | undefined;
}

/** The name of a file; it must exist unless it is marked as optional. */
export type WantedFile = string | { readonly name: string; readonly optional: true };

/**
 * Fetches files of a model from a Hugging Face hub into the cache that the hub's Python and JavaScript libraries use too. A
 * file that is already there is not fetched again. Files of a commit then need no request at all; those of a branch or tag
 * need one HEAD, which says which commit it is at.
 * @returns the snapshot's folder, which holds those files, and others if they were fetched before
 * @throws ResonantError `invalid_argument` for an impossible name, a repository or revision that does not exist or may not
 * be read, or a cache that cannot be written; `invalid_file` for a file that does not exist, cannot be fetched, or is not
 * what the hub says; the signal's reason
 */
export async function fetchFromHub(
  options: HubOptions & { readonly files: readonly WantedFile[] },
): Promise<string> {
  const snapshot = await Snapshot.open(options);
  const files = options.files.map((file) =>
    typeof file === "string" ? { name: file, optional: false } : file,
  );
  for (const { name } of files) checkFile(name);
  // A file that must exist shows which commit the revision is at, whatever the others show.
  for (const { name, optional } of files.toSorted((a, b) => Number(a.optional) - Number(b.optional)))
    if (!(await snapshot.want(name)) && !optional) throw snapshot.lacks(name);
  return snapshot.publish();
}

/** Files of one commit: first all wanted files are asked for, then all are fetched, and only then do they appear. */
export class Snapshot {
  readonly #options: HubOptions;
  readonly #revision: string;
  readonly #settings: HubSettings;
  readonly #cache: RepoCache;
  readonly #hub: Hub;
  readonly #wanted = new Map<string, RemoteFile>();
  #commit: string | undefined;
  /** Why the hub is not asked. */
  #offline: ResonantError | "asked for" | undefined;

  /** @throws ResonantError `invalid_argument` for an impossible name or setting */
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
      fetch: fetchThrough(settings.proxies),
      proxy: proxyFor(settings.proxies, new URL(settings.endpoint)),
      signal: options.signal,
      patience: { ...PATIENCE, ...options.patience },
    };
    if (settings.offline) this.#offline = "asked for";
  }

  /** Returns whether the commit has a file, and marks the file to be fetched. */
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

  /** Asks which commit the revision is at, by way of a file; without the hub, the commit that was seen last. */
  async #resolve(name: string): Promise<Awaited<ReturnType<typeof describe>> | undefined> {
    const known = await this.#cache.ref(this.#revision);
    if (this.#offline) {
      this.#commit = known;
      return undefined;
    }
    // If there is a commit to fall back on, it need not wait long.
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

  /** The path of a wanted file, fetched now if needed; it is not yet in the snapshot. */
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

  /** Fetches all wanted files, then makes them appear, then records the revision's commit. Returns the folder. */
  async publish(): Promise<string> {
    const commit = this.#commit;
    if (commit === undefined) throw this.lacks("");
    for (const name of this.#wanted.keys()) await this.bring(name);
    await this.#onDisk(async () => {
      for (const { name, etag } of this.#wanted.values()) await this.#cache.publish(commit, name, etag);
    });
    if (this.#offline instanceof ResonantError) this.#options.onFallback?.(this.#offline);
    else if (this.#revision !== commit && !this.#offline) {
      // If everything was there already, the cache may be read-only.
      await this.#cache.writeRef(this.#revision, commit).catch((error) => {
        if (this.#wanted.size > 0) throw error;
      });
    }
    return this.#cache.snapshot(commit);
  }

  /** The error for a file that must exist and does not. */
  lacks(name: string): ResonantError {
    const { repo } = this.#options;
    const where = placeOf(repo, this.#revision, name);
    if (this.#offline instanceof ResonantError) return this.#offline;
    if (this.#offline) {
      return invalidFile(
        where,
        `it is not in ${this.#settings.cache}, and HF_HUB_OFFLINE forbids to fetch it`,
        "Unset HF_HUB_OFFLINE once, or set HF_HOME to the folder where the model is",
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
        fix: "Free some space there, or set HF_HOME to a folder that this user can write",
        cause: error,
      });
    }
  }
}
