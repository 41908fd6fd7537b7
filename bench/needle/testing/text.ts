import { below, oneOf, seeded } from "../../random.ts";
import type { Codec } from "../data.ts";

/** One token per byte, and one token that stands for no text. */
export const byteCodec: Codec = {
  vocabulary: 257,
  encode: async (text) => [...new TextEncoder().encode(text)],
  bytes: (id) => (id < 256 ? Uint8Array.of(id) : new Uint8Array()),
};

/** Returns `length` characters of made-up words, the same for the same seed. */
export function prose(seed: number, length: number): string {
  const random = seeded(seed);
  let text = "";
  while (text.length < length) {
    const word = Array.from({ length: 1 + below(random, 3) }, () => {
      return oneOf(random, "bcdfghlmnprstvw") + oneOf(random, "aeiou") + oneOf(random, "nrst");
    }).join("");
    text += below(random, 8) === 0 ? `. ${word.charAt(0).toUpperCase()}${word.slice(1)}` : ` ${word}`;
  }
  return text.slice(0, length);
}
