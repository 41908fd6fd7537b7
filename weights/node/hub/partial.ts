import { createHash, randomUUID } from "node:crypto";
import { type FileHandle, lstat, open, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

// While a process writes part of a blob, it lies beside the blob as BLOB.HOST-PID-RANDOM.incomplete; when a process has
// given up properly, as BLOB.free-RANDOM.incomplete. A process that takes a part over renames it first, which only one can
// do; so two processes never write the same file, and none waits for a dead one.

/** A file that only this process writes, and that will become a blob. */
export interface Partial {
  readonly path: string;
  readonly handle: FileHandle;
  /** Bytes in it when it was claimed. */
  readonly size: number;
  /** Closes it, and leaves it for the next process. */
  release(): Promise<void>;
  /** Closes it, and removes it. */
  discard(): Promise<void>;
  /** Flushes and closes it, and makes it the blob. `false` if another process took it in between. */
  finish(): Promise<boolean>;
}

const BEAT_MS = 5_000;
/** A writer touches its file every few seconds; if it has not for so long, it is dead, on whatever machine. */
const DEAD_MS = 30_000;
const POLL_MS = 200;

const host = createHash("sha256").update(hostname()).digest("hex").slice(0, 8);
const NAME = /\.(?:(?<host>[0-9a-f]{8})-(?<pid>\d+)|free)-[0-9a-f]{8}\.incomplete$/;
const mine = new Set<string>();

const mark = (owner: string): string => `.${owner}-${randomUUID().slice(0, 8)}.incomplete`;

/**
 * Claims part of a blob: what another process has left of it, else an empty file. If a living process is writing it, this
 * call waits.
 * @param blob path of the blob when it is whole
 * @param size bytes of the blob when it is whole
 * @param onWait called with the bytes that the other process has
 * @returns `undefined` if the blob is whole
 */
export async function claimPartial(
  blob: string,
  size: number,
  options: { readonly signal: AbortSignal | undefined; readonly onWait: (bytes: number) => void },
): Promise<Partial | undefined> {
  const { signal, onWait } = options;
  for (;;) {
    signal?.throwIfAborted();
    if ((await fileSize(blob)) === size) return undefined;
    const others = await partialsOf(blob);
    if (!others) continue;
    const left = others.filter((other) => !other.alive);
    for (const other of left) {
      const path = blob + mark(`${host}-${process.pid}`);
      mine.add(path);
      // Touch it before it gets its new name; otherwise a third process could take it for dead at once.
      await touch(other.path);
      const partial = (await renamed(other.path, path))
        ? await opened(path, blob, "r+").catch(() => {})
        : null;
      if (partial) {
        for (const worse of left) if (worse !== other) await rm(worse.path, { force: true });
        return partial;
      }
      // It may belong to another user.
      await rm(path, { force: true });
      mine.delete(path);
    }
    // Another process has taken it over in between; wait for that one.
    if (left.length > 0) continue;
    const [writer] = others.filter((other) => other.alive);
    if (!writer) {
      const path = blob + mark(`${host}-${process.pid}`);
      mine.add(path);
      return opened(path, blob, "wx+");
    }
    onWait(writer.size);
    await delay(POLL_MS, undefined, signal ? { signal } : {}).catch(() => {});
  }
}

/**
 * The parts of a blob, the longest first; `undefined` if one was being renamed, so that it may be missing here, or whole by
 * now.
 */
async function partialsOf(
  blob: string,
): Promise<{ path: string; size: number; alive: boolean }[] | undefined> {
  const folder = dirname(blob);
  const found: { path: string; size: number; alive: boolean }[] = [];
  for (const name of await readdir(folder)) {
    if (!name.startsWith(`${basename(blob)}.`)) continue;
    const match = NAME.exec(name);
    const path = join(folder, name);
    if (!match) continue;
    const info = await lstat(path).catch(() => undefined);
    if (!info) return undefined;
    if (!info.isFile()) continue;
    const { host: on, pid } = match.groups ?? {};
    const stale = pid === undefined || Date.now() - info.mtimeMs > DEAD_MS;
    const alive = !stale && (on !== host || isAlive(Number(pid), path));
    found.push({ path, size: info.size, alive });
  }
  return found.sort((a, b) => b.size - a.size);
}

function isAlive(pid: number, path: string): boolean {
  // In a restarted container this process often has the process id of the one that was killed.
  if (pid === process.pid) return mine.has(path);
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

async function opened(path: string, blob: string, flags: string): Promise<Partial> {
  let handle: FileHandle;
  try {
    handle = await open(path, flags);
  } catch (error) {
    mine.delete(path);
    throw error;
  }
  const heart = setInterval(() => touch(path), BEAT_MS).unref();
  const close = async (): Promise<void> => {
    clearInterval(heart);
    await handle.close();
  };
  const { size } = await handle.stat();
  return {
    path,
    handle,
    size,
    async release() {
      await close();
      await renamed(path, blob + mark("free"));
      mine.delete(path);
    },
    async discard() {
      await close();
      await rm(path, { force: true });
      mine.delete(path);
    },
    async finish() {
      try {
        await handle.sync();
      } finally {
        await close();
        mine.delete(path);
      }
      return renamed(path, blob);
    },
  };
}

const touch = (path: string): Promise<void> => utimes(path, new Date(), new Date()).catch(() => {});

async function renamed(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

/** The length of a file in bytes, also through a link; `undefined` if it does not exist. */
export async function fileSize(path: string): Promise<number | undefined> {
  const info = await stat(path).catch(() => undefined);
  return info?.isFile() ? info.size : undefined;
}
