import { ResonantError } from "../../common/errors.ts";

/**
 * Decodes UTF-8 that arrives in pieces cut anywhere, to the same text as a WHATWG `TextDecoder` gives of the whole:
 * invalid bytes become U+FFFD, and a byte order mark is kept, since a model may have intended it.
 * Unlike in a streaming `TextDecoder`, the held-back bytes can be read, saved and restored.
 */
export class Utf8Decoder {
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #pending: Uint8Array;

  /**
   * @param pending what an earlier decoder held back.
   * @throws ResonantError `state` unless it is the beginning of one character.
   */
  constructor(pending: Uint8Array = new Uint8Array()) {
    if (unfinishedLength(pending) !== pending.length) {
      throw new ResonantError("state", "is not the beginning of one UTF-8 character", {
        where: "undecoded bytes",
      });
    }
    this.#pending = pending.slice();
  }

  /** At most three bytes, the valid beginning of one character. */
  get pending(): Uint8Array {
    return this.#pending.slice();
  }

  /** Adds bytes. Returns the text that is now complete. */
  push(bytes: Uint8Array): string {
    const all = new Uint8Array(this.#pending.length + bytes.length);
    all.set(this.#pending);
    all.set(bytes, this.#pending.length);
    const whole = all.length - unfinishedLength(all);
    this.#pending = all.slice(whole);
    return this.#decoder.decode(all.subarray(0, whole));
  }

  /** Ends the text: an unfinished character becomes U+FFFD. */
  flush(): string {
    const text = this.#decoder.decode(this.#pending);
    this.#pending = new Uint8Array();
    return text;
  }
}

/** Returns the number of bytes at the end that more bytes could complete to a character. */
function unfinishedLength(bytes: Uint8Array): number {
  for (let length = 1; length <= Math.min(3, bytes.length); length++) {
    const lead = bytes[bytes.length - length]!;
    if (isContinuation(lead)) continue;
    return length < characterLength(lead) && secondFits(lead, bytes[bytes.length - length + 1]) ? length : 0;
  }
  return 0;
}

function characterLength(lead: number): number {
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  return lead >= 0xf0 && lead <= 0xf4 ? 4 : 1;
}

/** Overlong forms, surrogates and code points past U+10FFFF already show in the second byte. */
function secondFits(lead: number, second: number | undefined): boolean {
  if (second === undefined) return true;
  if (lead === 0xe0) return second >= 0xa0;
  if (lead === 0xed) return second < 0xa0;
  if (lead === 0xf0) return second >= 0x90;
  if (lead === 0xf4) return second < 0x90;
  return true;
}

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
}
