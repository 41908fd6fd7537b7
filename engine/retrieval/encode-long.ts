import type { EncodeOptions, TextTokenizer } from "../../weights/tokenizer.ts";
import { TokenStream } from "./token-stream.ts";

/** A longer text is encoded in pieces, so that no call takes a tokenizer's thread long or needs much of its memory. */
const LONGEST = 2 ** 19;

/** A text's ids, as in one call. Texts of a tokenizer with a token for each byte are not cut: it has no thread. */
export async function encodeLong(
  tokenizer: TextTokenizer,
  text: string,
  { special = true }: EncodeOptions = {},
): Promise<number[]> {
  if (text.length <= LONGEST || tokenizer.bytewise) return tokenizer.encode(text, { special });
  const encode = (part: string, options: EncodeOptions = {}): Promise<number[]> =>
    tokenizer.encode(part, { special: special && options.special !== false });
  const stream = new TokenStream({ encode, tokenBytes: (token) => tokenizer.bytes(token) }, text);
  const ids: number[] = [];
  for await (const { tokens } of stream.blocks()) for (const token of tokens) ids.push(token);
  return ids;
}
