import { abortable } from "../../common/abortable.ts";

/** A text, whole or in parts. Parts may be cut anywhere, even within a surrogate pair. */
export type TextSource = string | Iterable<string> | AsyncIterable<string>;

/** The part of a text that is in memory: {@link fill} extends it at the end, and {@link drop} shortens it at the start. */
export class TextWindow {
  text = "";
  /** UTF-16 offset of `text` in the whole text. */
  offset = 0;
  readonly #chunks: Iterator<string> | AsyncIterator<string>;
  readonly #signal: AbortSignal | undefined;
  #ended = false;

  constructor(source: TextSource, signal: AbortSignal | undefined) {
    const whole = typeof source === "string" ? [source] : source;
    this.#chunks = Symbol.asyncIterator in whole ? whole[Symbol.asyncIterator]() : whole[Symbol.iterator]();
    this.#signal = signal;
  }

  /** Reads until `text` is longer than `length` or the source ends. Returns whether it is longer. */
  async fill(length: number): Promise<boolean> {
    while (this.text.length <= length && !this.#ended) {
      const next = await abortable(Promise.resolve(this.#chunks.next()), this.#signal);
      if (next.done) this.#ended = true;
      else this.text += next.value;
    }
    return this.text.length > length;
  }

  /** Returns the greatest index up to `index` that is not within a surrogate pair. */
  cut(index: number): number {
    const at = Math.min(index, this.text.length);
    return at > 0 && (this.text.codePointAt(at - 1) ?? 0) > 0xffff ? at - 1 : at;
  }

  /** Drops the first `length` UTF-16 units. */
  drop(length: number): void {
    this.text = this.text.slice(length);
    this.offset += length;
  }

  /** Closes the iterator of the source. */
  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    // Not awaited: an iterator that waits for input answers only when the input arrives.
    Promise.resolve(this.#chunks.return?.()).catch(() => undefined);
  }
}
