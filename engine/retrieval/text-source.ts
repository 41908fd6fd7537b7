import { abortable } from "../../common/abortable.ts";

/** A text, whole or as it comes; what comes may be cut anywhere, within a surrogate pair too. */
export type TextSource = string | Iterable<string> | AsyncIterable<string>;

/** The part of a text that is in hand: it grows at the end as it is asked for, and is let go of at the start. */
export class TextWindow {
  text = "";
  /** UTF-16 offset of `text` in the whole. */
  offset = 0;
  readonly #chunks: Iterator<string> | AsyncIterator<string>;
  readonly #signal: AbortSignal | undefined;
  #ended = false;

  constructor(source: TextSource, signal: AbortSignal | undefined) {
    const whole = typeof source === "string" ? [source] : source;
    this.#chunks = Symbol.asyncIterator in whole ? whole[Symbol.asyncIterator]() : whole[Symbol.iterator]();
    this.#signal = signal;
  }

  /** Reads on until there is more than `length` in hand, or no more comes; says whether there is more. */
  async fill(length: number): Promise<boolean> {
    while (this.text.length <= length && !this.#ended) {
      const next = await abortable(Promise.resolve(this.#chunks.next()), this.#signal);
      if (next.done) this.#ended = true;
      else this.text += next.value;
    }
    return this.text.length > length;
  }

  /** The index, at most `index`, that is not within a surrogate pair. */
  cut(index: number): number {
    const at = Math.min(index, this.text.length);
    return at > 0 && (this.text.codePointAt(at - 1) ?? 0) > 0xffff ? at - 1 : at;
  }

  /** Lets go of the first `length`. */
  drop(length: number): void {
    this.text = this.text.slice(length);
    this.offset += length;
  }

  /** Tells the text's iterator that no more is wanted. */
  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    // An iterator that waits for more answers only then: nobody waits for it.
    Promise.resolve(this.#chunks.return?.()).catch(() => undefined);
  }
}
