import type { Tokenizer } from "@huggingface/tokenizers";

type Added = { readonly content: string; readonly single_word?: unknown };
type Splitter = { split(text: string): string[] };
type WithSplitters = { splitter_unnormalized: Splitter; splitter_normalized: Splitter };

/** As `\w` in Hugging Face's own tokenizers: letters, marks, digits, connectors, joiners. */
const WORD_END = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;
const WORD_START = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;

/**
 * Makes the library respect `single_word`: an added token of that kind is one only where no letter or digit stands directly before
 * or after it (https://huggingface.co/docs/tokenizers/api/added-tokens). The library takes it wherever it stands.
 */
export function respectSingleWords(tokenizer: Tokenizer, added: readonly Added[]): void {
  const single = new Set(added.filter((token) => token.single_word === true).map(({ content }) => content));
  if (single.size === 0) return;
  const tokens = new Set(added.map(({ content }) => content));
  const { splitter_unnormalized, splitter_normalized } = tokenizer as unknown as WithSplitters;
  for (const splitter of [splitter_unnormalized, splitter_normalized]) {
    const split = splitter.split.bind(splitter);
    splitter.split = (text) => joinWords(text, split(text), single, tokens);
  }
}

/** Joins a part of `text` that is a word's part, not a token, to the text around it. */
function joinWords(
  text: string,
  parts: readonly string[],
  single: ReadonlySet<string>,
  tokens: ReadonlySet<string>,
): string[] {
  const joined: string[] = [];
  let at = 0;
  let open = false; // whether the last part is text that goes on
  for (const part of parts) {
    const end = at + part.length;
    const inWord =
      WORD_END.test(text.slice(Math.max(0, at - 2), at)) || WORD_START.test(text.slice(end, end + 2));
    const isText = !tokens.has(part) || (single.has(part) && inWord);
    if (isText && open) joined[joined.length - 1] += part;
    else joined.push(part);
    open = isText;
    at = end;
  }
  return joined;
}
