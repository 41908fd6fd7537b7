import { type Released, StopMatcher } from "./stop-matcher.ts";
import { Utf8Decoder } from "./utf8-decoder.ts";

/** All that a text stream's future depends on beside its stop strings. */
export interface PendingText {
  /** The beginning of a UTF-8 character, at most three bytes. */
  bytes: Uint8Array;
  /** Text held back for a possible stop string. */
  text: string;
}

/** Tokens' bytes to text: UTF-8 and stop strings, both across any cuts. */
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

  /** Read it before {@link TextStream.flush} where the stream is to be continued: flushing releases it. */
  get pending(): PendingText {
    return { bytes: this.#decoder.pending, text: this.#matcher.pending };
  }

  /** Takes bytes, and returns the text that is certain and belongs to no stop string. */
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
