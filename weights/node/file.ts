import { randomUUID } from "node:crypto";
import { constants, type FileHandle, open, realpath, rename, stat, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ResonantError } from "../../common/errors.ts";
import { allocate, type ByteSource, checkRange } from "../byte-source.ts";
import { invalidFile } from "../refuse.ts";

/** A `ByteSource` on disk; closing it frees the file handle. */
export type FileSource = ByteSource & { close(): Promise<void> };

/**
 * Opens a file for reading in pieces.
 * @throws ResonantError `invalid_argument` if it does not exist or may not be read, `invalid_file` if it is a directory, or
 * empty
 */
export async function openFile(path: string): Promise<FileSource> {
  const handle = await open(path, "r").catch((cause) => {
    throw cannot(path, "be opened", cause);
  });
  try {
    const info = await handle.stat();
    if (info.isDirectory()) throw invalidFile(path, "is a directory, not a file of weights");
    if (!info.isFile()) throw invalidFile(path, "is not a regular file");
    if (info.size === 0) throw invalidFile(path, "is empty", "Fetch the file again");
    return fileSource(path, info.size, handle);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function fileSource(name: string, size: number, handle: FileHandle): FileSource {
  return {
    name,
    size,
    async read(offset, length) {
      checkRange({ name, size }, offset, length);
      const bytes = allocate(name, length);
      for (let done = 0; done < length; ) {
        // One system call reads at most 2 GiB.
        const part = Math.min(length - done, 2 ** 30);
        const { bytesRead } = await handle.read(bytes, done, part, offset + done).catch((cause) => {
          throw invalidFile(name, `could not be read at byte ${offset + done}`, undefined, cause);
        });
        if (bytesRead === 0)
          throw invalidFile(name, `has shrunk since it was opened: no byte ${offset + done}`);
        done += bytesRead;
      }
      return bytes;
    },
    close: () => handle.close(),
  };
}

/**
 * Checks that a path can be written: it is not a directory, it is not the file `input` (by any name), and it does not exist
 * unless `force` is given.
 * @throws ResonantError `invalid_argument`
 */
export async function checkOutput(path: string, input: string, force: boolean): Promise<void> {
  const output = await stat(path, { bigint: true }).catch((cause) => {
    if (isMissing(cause)) return undefined;
    throw cannotWrite(path, cause);
  });
  if (!output) return;
  const from = await stat(input, { bigint: true }).catch(() => undefined);
  if (from && from.dev === output.dev && from.ino === output.ino) {
    throw new ResonantError("invalid_argument", "is the input itself", {
      where: path,
      fix: "Name another output",
    });
  }
  if (!output.isFile()) {
    throw new ResonantError("invalid_argument", "is not a regular file", {
      where: path,
      fix: "Name another output",
    });
  }
  if (!force) {
    throw new ResonantError("invalid_argument", "exists already", {
      where: path,
      fix: (name) => `Name another output, or replace it with ${name("force")}`,
    });
  }
}

/**
 * Writes a file whole or not at all: into a temporary file beside it, flushed to disk, then renamed. If anything fails, the
 * temporary file is removed and what was at `path` stays. What is no regular file, such as a named pipe or a device, is never
 * replaced: it is written to.
 * @param beforeRename called when everything is written, or before a pipe or device is written to; if it throws, nothing is
 * replaced
 * @returns bytes written
 * @throws ResonantError `invalid_argument` if the place cannot be written; any error of `chunks`
 */
export async function writeFileAtomically(
  path: string,
  chunks: AsyncIterable<Uint8Array>,
  beforeRename: () => Promise<void> = async () => {},
): Promise<number> {
  const target = await realpath(path).catch(() => path); // follows a link, so that it stays a link
  const found = await stat(target).catch(() => undefined);
  if (found && !found.isFile()) {
    await beforeRename();
    return writeInto(path, chunks);
  }
  const temporary = join(dirname(target), `.${basename(target)}.${randomUUID()}.tmp`);
  const handle = await open(temporary, "wx").catch((cause) => {
    throw cannotWrite(path, cause);
  });
  let written = 0;
  try {
    try {
      for await (const chunk of chunks) {
        await writeAll(path, handle, chunk);
        written += chunk.byteLength;
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    await beforeRename();
    await rename(temporary, target).catch((cause) => {
      throw cannotWrite(path, cause);
    });
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
  await syncFolder(dirname(target));
  return written;
}

/** Writes to what is there already, such as a named pipe, and makes no file. @returns bytes written */
async function writeInto(path: string, chunks: AsyncIterable<Uint8Array>): Promise<number> {
  const handle = await open(path, constants.O_WRONLY).catch((cause) => {
    throw cannotWrite(path, cause);
  });
  let written = 0;
  try {
    for await (const chunk of chunks) {
      await writeAll(path, handle, chunk);
      written += chunk.byteLength;
    }
  } finally {
    await handle.close();
  }
  return written;
}

async function writeAll(path: string, handle: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let done = 0; done < chunk.byteLength; ) {
    const part = Math.min(chunk.byteLength - done, 2 ** 30);
    const { bytesWritten } = await handle.write(chunk, done, part).catch((cause) => {
      throw cannotWrite(path, cause);
    });
    done += bytesWritten;
  }
}

/** Makes the rename itself survive a power cut, if the platform can flush a folder. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r").catch(() => undefined);
  await folder?.sync().catch(() => {});
  await folder?.close();
}

/** The error for a file, or another output, that the system does not let be written. */
export const cannotWrite = (path: string, cause: unknown): ResonantError => cannot(path, "be written", cause);

function cannot(path: string, what: string, cause: unknown): ResonantError {
  const reasons: Record<string, string> = {
    ENOENT: "no such file or folder",
    EACCES: "permission denied",
    EPERM: "permission denied",
    EISDIR: "it is a directory",
    ENOTDIR: "a part of its path is not a folder",
    ENOSPC: "the disk is full",
    EPIPE: "its reader has closed it",
    ENXIO: "it is no file, and nothing reads from it",
    EROFS: "the disk is read-only",
    EMFILE: "too many files are open",
  };
  const code = errorCode(cause);
  return new ResonantError("invalid_argument", `cannot ${what}: ${reasons[code] ?? code}`, {
    where: path,
    cause,
  });
}

function isMissing(cause: unknown): boolean {
  return errorCode(cause) === "ENOENT";
}

function errorCode(cause: unknown): string {
  return cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
}

/** Whether there is a folder at `path`. */
export const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
