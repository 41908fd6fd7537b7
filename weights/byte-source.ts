import { ResonantError } from "../common/errors.ts";
import { invalidFile } from "./refuse.ts";

/** A file read in pieces: on disk, in memory, or a browser's Blob. */
export interface ByteSource {
  /** The name of the file in errors. */
  readonly name: string;
  /** Its length in bytes. */
  readonly size: number;
  /**
   * Reads exactly `length` bytes from byte `offset` on, into new memory that is aligned for every dtype.
   * @throws ResonantError `invalid_file` if the range is not all inside the file, or reading fails
   */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** Refuses a range that is not all inside the file. Every source calls it first. */
export function checkRange(source: { name: string; size: number }, offset: number, length: number): void {
  const sound = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (sound && offset + length <= source.size) return;
  throw invalidFile(
    source.name,
    `truncated: bytes ${offset} to ${offset + length} are needed, but the file has only ${source.size}`,
    "Fetch the file again",
  );
}

/**
 * Allocates memory for part of a file.
 * @throws ResonantError `out_of_memory` if the platform cannot give a block of that length
 */
export function allocate(file: string, length: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(length);
  } catch (cause) {
    throw new ResonantError("out_of_memory", `there is no memory block of ${length} bytes to read it into`, {
      where: file,
      cause,
    });
  }
}

/** A file that is already in memory. Reads are copies, so `bytes` may be reused. */
export function bytesSource(name: string, bytes: Uint8Array): ByteSource {
  const source = {
    name,
    size: bytes.byteLength,
    async read(offset: number, length: number): Promise<Uint8Array> {
      checkRange(source, offset, length);
      const copy = new Uint8Array(length);
      copy.set(bytes.subarray(offset, offset + length));
      return copy;
    },
  };
  return source;
}

/** A browser's file, from a file picker, a drop or a cache. Only the parts that are read are held in memory. */
export function blobSource(name: string, blob: Blob): ByteSource {
  const source = {
    name,
    size: blob.size,
    async read(offset: number, length: number): Promise<Uint8Array> {
      checkRange(source, offset, length);
      try {
        return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
      } catch (cause) {
        throw invalidFile(
          name,
          `could not be read at byte ${offset}`,
          "Has it changed since it was opened?",
          cause,
        );
      }
    },
  };
  return source;
}
