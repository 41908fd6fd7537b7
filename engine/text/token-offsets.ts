import { Utf8Decoder } from "./utf8-decoder.ts";

/**
 * Where tokens begin in their text, in characters (Unicode code points). A token within a character begins where that character
 * does. Bytes that no later one completed are a character of their own, U+FFFD, before the token that shows it.
 */
export class TokenOffsets {
  readonly #decoder = new Utf8Decoder();
  #characters = 0;

  /** Where the next token begins. @param bytes the token's */
  next(bytes: Uint8Array): number {
    const before = this.#characters;
    const begun = this.#decoder.pending.length > 0;
    const first = countOf(this.#decoder.push(bytes.subarray(0, 1)));
    // What was begun breaks off here if it became a character, and this byte another, or the beginning of one.
    const broken = begun && first > 0 && (first > 1 || this.#decoder.pending.length > 0);
    this.#characters += first + countOf(this.#decoder.push(bytes.subarray(1)));
    return broken ? before + 1 : before;
  }

  /** Ends a text that is decoded on its own: what comes next does not complete its last character. */
  end(): void {
    this.#characters += countOf(this.#decoder.flush());
  }
}

const countOf = (text: string): number => [...text].length;
