import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { ResonantError } from "../common/errors.ts";

/** A text that is read in chunks. */
export interface TextChunks extends AsyncIterable<string> {
  /** Bytes read so far. */
  readonly read: number;
  /** The total number of bytes, if known. */
  readonly total: number | undefined;
}

/**
 * Reads a UTF-8 file of any length, chunk by chunk as needed. A byte order mark is part of the text.
 * @param where name of the file in errors
 * @throws ResonantError `invalid_argument` if the file cannot be read, or, while reading, at the first byte that is not UTF-8
 */
export async function fileChunks(path: string, where: string): Promise<TextChunks> {
  const unreadable = (cause: unknown): ResonantError =>
    new ResonantError("invalid_argument", `it cannot be read (${(cause as Error).message})`, {
      where,
      cause,
    });
  try {
    const file = await open(path);
    const status = await file.stat();
    if (status.isDirectory()) {
      await file.close();
      throw new Error("it is a folder");
    }
    const bytes = async function* () {
      try {
        yield* createReadStream(path, { fd: file }) as AsyncIterable<Uint8Array>;
      } catch (cause) {
        throw unreadable(cause);
      }
    };
    return new Utf8Chunks(bytes(), where, status.isFile() ? status.size : undefined);
  } catch (cause) {
    throw unreadable(cause);
  }
}

/** Reads a UTF-8 stream, such as standard input, chunk by chunk. Errors as for {@link fileChunks}. */
export const streamChunks = (stream: AsyncIterable<Uint8Array>, where: string): TextChunks =>
  new Utf8Chunks(stream, where, undefined);

/** Reads a whole UTF-8 stream as one text, without the byte order mark at its beginning. Errors as for {@link fileChunks}. */
export async function streamText(stream: AsyncIterable<Uint8Array>, where: string): Promise<string> {
  let text = "";
  for await (const chunk of streamChunks(stream, where)) text += chunk;
  return text.startsWith("\ufeff") ? text.slice(1) : text;
}

class Utf8Chunks implements TextChunks {
  read = 0;
  readonly total: number | undefined;
  readonly #bytes: AsyncIterable<Uint8Array>;
  readonly #where: string;

  constructor(bytes: AsyncIterable<Uint8Array>, where: string, total: number | undefined) {
    this.#bytes = bytes;
    this.#where = where;
    this.total = total;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string, void, undefined> {
    let rest: Uint8Array = new Uint8Array();
    for await (const chunk of this.#bytes) {
      const bytes = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
      const offset = this.read - rest.length;
      this.read += chunk.length;
      const whole = bytes.length - unfinished(bytes);
      yield this.#decode(bytes.subarray(0, whole), offset);
      rest = bytes.slice(whole);
    }
    if (rest.length > 0) yield this.#decode(rest, this.read - rest.length);
  }

  /** @param offset offset of `bytes` in the whole text */
  #decode(bytes: Uint8Array, offset: number): string {
    try {
      return decode(bytes);
    } catch (cause) {
      const message = `it is not UTF-8 text: see byte ${offset + firstWrong(bytes)}`;
      throw new ResonantError("invalid_argument", message, { where: this.#where, cause });
    }
  }
}

const decode = (bytes: Uint8Array, stream = false): string =>
  new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes, { stream });

/** Returns how many bytes at the end are the beginning of an incomplete character. */
function unfinished(bytes: Uint8Array): number {
  for (let count = 1; count <= Math.min(3, bytes.length); count++) {
    const byte = bytes[bytes.length - count]!;
    if (byte < 0x80) return 0;
    if (byte >= 0xc0) return count < (byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4) ? count : 0;
  }
  return 0;
}

/** Returns the offset of the first invalid character, found by bisection. */
function firstWrong(bytes: Uint8Array): number {
  let [good, bad] = [0, bytes.length + 1];
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    try {
      decode(bytes.subarray(0, middle), true);
      good = middle;
    } catch {
      bad = middle;
    }
  }
  return good - unfinished(bytes.subarray(0, good));
}
