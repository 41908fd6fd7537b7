import { byteToken } from "./token-text.ts";

type Json = Readonly<Record<string, unknown>>;

/** V8 stores a longer array that is made at once as a hash table, which is slow. */
const LONGEST_ARRAY = 1 << 25;

/**
 * A fast encoder for tokenizers with one token per UTF-8 byte: some hundred times as fast as words and merges, and without anything
 * that the tokenizer's author has written, so that it needs no thread of its own.
 * @param json the parsed `tokenizer.json`
 * @param config the parsed `tokenizer_config.json`
 * @returns undefined for a tokenizer of another kind; else a function that gives the ids of a text without lone surrogates,
 * or undefined if the content of an added token occurs in it, which only the whole tokenizer can tell from bytes
 */
export function byteEncoder(json: Json, config: Json): ((text: string) => number[] | undefined) | undefined {
  if (!takesBytesAlone(json, config)) return undefined;
  const { vocab, unk_token: unknown } = json.model as Json & { vocab: Json };
  const added = new Map((json.added_tokens as readonly Added[]).map(({ id, content }) => [content, id]));
  const idOf = (token: unknown): unknown =>
    added.get(token as string) ??
    (Object.hasOwn(vocab, token as string) ? vocab[token as string] : undefined);
  const table = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    if (byte === 0xc0 || byte === 0xc1 || byte >= 0xf5) continue; // in no text
    const id = idOf(byteToken(byte)) ?? idOf(unknown);
    if (typeof id !== "number") return undefined;
    table[byte] = id;
  }
  const utf8 = new TextEncoder();
  const contents = [...added.keys()];
  return (text) => {
    if (contents.some((content) => text.includes(content))) return undefined;
    const bytes = utf8.encode(text);
    const ids = new Array<number>(Math.min(bytes.length, LONGEST_ARRAY));
    for (let i = 0; i < bytes.length; i++) ids[i] = table[bytes[i]!]!;
    return ids;
  };
}

type Added = { readonly id: number; readonly content: string };

/** Whether the token of a byte depends only on the byte, apart from added tokens. */
function takesBytesAlone({ model, normalizer, pre_tokenizer, post_processor }: Json, config: Json): boolean {
  const { type, merges, ignore_merges, fuse_unk, end_of_word_suffix, continuing_subword_suffix } =
    model as Json;
  const words = pre_tokenizer as Json | null;
  return (
    type === "BPE" &&
    (merges as readonly unknown[]).length === 0 &&
    !ignore_merges &&
    !fuse_unk &&
    !end_of_word_suffix &&
    !continuing_subword_suffix &&
    normalizer === null &&
    words?.type === "ByteLevel" &&
    !words.add_prefix_space &&
    (post_processor === null || (post_processor as Json).type === "ByteLevel") &&
    !config.remove_space &&
    !config.do_lowercase_and_remove_accent
  );
}
