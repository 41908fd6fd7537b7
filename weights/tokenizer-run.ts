import { BPE, Tokenizer } from "@huggingface/tokenizers";
import { respectSingleWords } from "./added-tokens.ts";

type Json = Record<string, unknown>;

/** A `tokenizer.json` and `tokenizer_config.json`, parsed and checked. */
export interface TokenizerSource {
  readonly json: Json & {
    readonly added_tokens: readonly { readonly id: number; readonly content: string }[];
  };
  readonly config: Json;
}

export interface EncodeCall {
  readonly text: string;
  readonly special: boolean;
}

const MOST_WORDS = 32_768;
const LONGEST_WORD = 64;

/**
 * Opens a tokenizer, in a thread of its own: `tasks.ts` names it. A call gives a text's ids; null if the text has characters
 * without a token.
 * @throws Error of the library, if it cannot use the tokenizer
 */
export function openTokenizer({ json, config }: TokenizerSource): (call: EncodeCall) => Uint32Array | null {
  const tokenizer = new Tokenizer(json, config);
  if (tokenizer.model instanceof BPE) rememberWords(tokenizer.model);
  respectSingleWords(tokenizer, json.added_tokens);
  return ({ text, special }) => {
    // The library's types promise numbers, but a missing token becomes null or undefined.
    const ids: readonly unknown[] = tokenizer.encode(text, { add_special_tokens: special }).ids;
    return ids.every((id) => typeof id === "number") ? Uint32Array.from(ids as readonly number[]) : null;
  };
}

/** Caches the tokens of words: the library's own cache is slower, and too small for a long text. */
function rememberWords(model: BPE): void {
  const merge = model.bpe.bind(model);
  const merged = new Map<string, string[]>();
  model.bpe = (word) => {
    const known = merged.get(word);
    if (known !== undefined) return known;
    const tokens = merge(word);
    if (merged.size === MOST_WORDS) merged.clear();
    if (word.length <= LONGEST_WORD) merged.set(word, tokens);
    return tokens;
  };
}
