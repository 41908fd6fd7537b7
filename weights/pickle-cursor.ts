import { ResonantError } from "../common/errors.ts";
import { invalidFile } from "./refuse.ts";

/** Thrown when the bytes end inside the pickle: the file is cut off, or the reader must fetch more of it. */
export class EndOfPickle extends ResonantError {
  constructor(where: string, length: number) {
    super("invalid_file", `truncated: the pickle's ${length} bytes end in the middle of it`, {
      where,
      fix: "Fetch the file again",
    });
  }
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Reads the arguments of opcodes, in order, never past the end. */
export class PickleCursor {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #file: string;
  readonly #base: number;
  #start = 0;
  position = 0;

  /** @param base the byte of the file where `bytes` begins, for error messages */
  constructor(bytes: Uint8Array, file: string, base: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#file = file;
    this.#base = base;
  }

  /** The current opcode, for error messages. */
  get where(): string {
    return `${this.#file}: byte ${this.#base + this.#start}`;
  }

  opcode(): number {
    this.#start = this.position;
    return this.u8();
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }
  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }
  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }
  i32(): number {
    return this.#view.getInt32(this.#take(4), true);
  }
  f64(): number {
    return this.#view.getFloat64(this.#take(8), false);
  }
  u64(): number {
    const value = Number(this.#view.getBigUint64(this.#take(8), true));
    if (Number.isSafeInteger(value)) return value;
    throw invalidFile(this.where, `a length of ${value} bytes`);
  }

  bytes(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#bytes.slice(at, at + length);
  }

  text(length: number): string {
    const at = this.#take(length);
    return this.#decode(at, at + length);
  }

  /** The text up to the next newline, which is skipped. */
  line(): string {
    const end = this.#bytes.indexOf(10, this.position);
    if (end < 0) throw new EndOfPickle(this.where, this.#bytes.length);
    const line = this.#decode(this.position, end);
    this.position = end + 1;
    return line;
  }

  #decode(start: number, end: number): string {
    try {
      return UTF8.decode(this.#bytes.subarray(start, end));
    } catch (cause) {
      throw invalidFile(this.where, "a string that is not valid UTF-8", undefined, cause);
    }
  }

  #take(length: number): number {
    const at = this.position;
    if (at + length > this.#bytes.length) throw new EndOfPickle(this.where, this.#bytes.length);
    this.position = at + length;
    return at;
  }
}
