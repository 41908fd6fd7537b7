import {
  PickleDict,
  PickleSet,
  PickleStorage,
  PickleTensor,
  PickleTuple,
  type PickleValue,
} from "./pickle-values.ts";

/**
 * What a pickle may make, in bytes of memory for each byte of it: a checkpoint's takes about ten. A small file gets a
 * little more, a large one never more than `MOST`, which is enough for 100,000 tensors.
 */
const BYTES_PER_BYTE = 64;
const LEAST = 16 * 2 ** 20;
const MOST = 192 * 2 ** 20;

/** Bytes that a place in the memo takes. */
export const MEMO_BYTES = 40;

/** Counts the memory of what a pickle makes, so that a small file cannot fill a large heap. */
export class PickleBudget {
  readonly #most: number;
  readonly #refuse: (message: string) => Error;
  #spent = 0;

  /** @param length bytes of the pickle @param refuse makes the error of its file */
  constructor(length: number, refuse: (message: string) => Error) {
    this.#most = Math.min(MOST, LEAST + BYTES_PER_BYTE * length);
    this.#refuse = refuse;
  }

  /** @throws the file's error when everything together passes the limit */
  spend(bytes: number): void {
    this.#spent += bytes;
    if (this.#spent > this.#most) {
      throw this.#refuse(`it makes objects of more than ${this.#most} bytes`);
    }
  }

  /** Counts a new value; of a container, without what is added to it later. */
  made(value: PickleValue): void {
    this.spend(bytesOf(value));
  }

  /** Counts `items` that are added to a list, dictionary or set. */
  added(items: number): void {
    this.spend(48 * items);
  }
}

/** Bytes that a value takes in V8, measured and rounded up. Numbers lie in the place that refers to them. */
function bytesOf(value: PickleValue): number {
  if (typeof value === "string") return 32 + 2 * value.length;
  if (typeof value === "bigint") return 48;
  if (typeof value !== "object" || value === null) return 0;
  if (value instanceof Uint8Array) return 220 + value.length;
  if (Array.isArray(value)) return 200 + 8 * value.length;
  if (value instanceof PickleTuple) return 80 + 8 * value.items.length;
  if (value instanceof PickleDict) return 240 + 48 * value.entries.size;
  if (value instanceof PickleSet) return 200 + 32 * value.items.size;
  if (value instanceof PickleTensor) return 200 + 16 * value.shape.length;
  return value instanceof PickleStorage ? 200 : 0;
}
