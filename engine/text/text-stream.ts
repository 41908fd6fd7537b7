import { type Released, StopMatcher } from "./stop-matcher.ts";
import { Utf8Decoder } from "./utf8-decoder.ts";

/** The state of a text stream, apart from its stop strings. */
export interface PendingText {
  /** The beginning of a UTF-8 character, at most three bytes. */
  bytes: Uint8Array;
  /** Text held back for a possible stop string. */
  text: string;
}

/** Converts the bytes of tokens to text. UTF-8 characters and stop strings may be cut anywhere. */
export class TextStream {
  readonly #decoder: Utf8Decoder;
  readonly #matcher: StopMatcher;

  /**
   * @param stops see {@link StopMatcher}.
   * @param pending what an earlier stream's {@link TextStream.pending} held: this one continues it.
   * @throws ResonantError `invalid_argument` for a bad stop string, `state` for bytes that begin no character.
   */
  constructor(stops: readonly string[] = [], pending?: PendingText) {
    this.#decoder = new Utf8Decoder(pending?.bytes);
    this.#matcher = new StopMatcher(stops, pending?.text);
  }

  /** The state to continue from. Read it before {@link TextStream.flush}, which releases it. */
  get pending(): PendingText {
    return { bytes: this.#decoder.pending, text: this.#matcher.pending };
  }

  /** Adds bytes. Returns the text that can no longer change and belongs to no stop string. */
  push(bytes: Uint8Array): Released {
    return this.#matcher.push(this.#decoder.push(bytes));
  }

  /** Ends the text: an unfinished character becomes U+FFFD, and what was held back is released. */
  flush(): Released {
    const before = this.#matcher.push(this.#decoder.flush());
    if (before.stopped !== undefined) return before;
    const after = this.#matcher.flush();
    return { text: before.text + after.text, stopped: after.stopped };
  }
}
