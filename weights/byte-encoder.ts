type Json = Readonly<Record<string, unknown>>;

/** V8 stores a longer array that is made at once as a hash table, which is slow. */
const LONGEST_ARRAY = 1 << 25;

/** Characters whose UTF-8 forms together hold every byte that a text can hold: all but C0, C1 and F5 to FF. */
const SAMPLE = [
  ...Array.from({ length: 0xc0 }, (_, i) => i),
  ...Array.from({ length: 30 }, (_, i) => (i + 2) << 6),
  0x800,
  ...Array.from({ length: 15 }, (_, i) => (i + 1) << 12),
  0x10000,
  ...Array.from({ length: 4 }, (_, i) => (i + 1) << 18),
].map((codePoint) => String.fromCodePoint(codePoint));

/**
 * A fast encoder for tokenizers with one token per UTF-8 byte: some hundred times as fast as words and merges.
 * @param json the parsed `tokenizer.json`
 * @param config the parsed `tokenizer_config.json`
 * @param encode the tokenizer's own encoder: its results are learned here, and must be the same
 * @returns undefined for a tokenizer of another kind; else a function that gives the ids of a text without lone surrogates,
 * or undefined if the content of an added token occurs in it, which only `encode` can tell from bytes
 */
export function byteEncoder(
  json: Json,
  config: Json,
  encode: (text: string) => readonly unknown[],
): ((text: string) => number[] | undefined) | undefined {
  if (!takesBytesAlone(json, config)) return undefined;
  const utf8 = new TextEncoder();
  const table = new Uint32Array(256);
  for (const character of SAMPLE) {
    const bytes = utf8.encode(character);
    const ids = encode(character);
    if (ids.length !== bytes.length || !ids.every((id) => typeof id === "number")) return undefined;
    bytes.forEach((byte, i) => {
      table[byte] = ids[i] as number;
    });
  }
  const added = (json.added_tokens as readonly { readonly content: string }[]).map(({ content }) => content);
  return (text) => {
    if (added.some((content) => text.includes(content))) return undefined;
    const bytes = utf8.encode(text);
    const ids = new Array<number>(Math.min(bytes.length, LONGEST_ARRAY));
    for (let i = 0; i < bytes.length; i++) ids[i] = table[bytes[i]!]!;
    return ids;
  };
}

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
