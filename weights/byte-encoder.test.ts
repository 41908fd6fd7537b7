import { readFileSync } from "node:fs";
import { Tokenizer } from "@huggingface/tokenizers";
import { describe, expect, it } from "vitest";
import { mulberry32 } from "../test/gpu.ts";
import { byteEncoder } from "./byte-encoder.ts";
import { startThread } from "./node/threads.ts";
import { loadTokenizer } from "./tokenizer.ts";

type Json = Readonly<Record<string, unknown>>;

const readJson = (name: string): Json =>
  JSON.parse(readFileSync(new URL(`../${name}`, import.meta.url), "utf8")) as Json;
const bytesJson = readJson("test/fixtures/tokenizers/bytes/tokenizer.json");
const bytesConfig = readJson("test/fixtures/tokenizers/bytes/tokenizer_config.json");
const vocab = (bytesJson.model as { readonly vocab: Readonly<Record<string, number>> }).vocab;
const withModel = (changed: Json): Json => ({
  ...bytesJson,
  model: { ...(bytesJson.model as object), ...changed },
});
const withAdded = (content: string): Json => ({
  ...bytesJson,
  added_tokens: [...(bytesJson.added_tokens as readonly Json[]), { id: 300, content, special: true }],
});

/** A tokenizer with only byte tokens; the id of a byte need not be its value. */
const alone: readonly (readonly [string, Json, Json])[] = [
  ["the fixtures'", bytesJson, bytesConfig],
  [
    "the default model's",
    readJson("weights/shakespeare/tokenizer.json"),
    readJson("weights/shakespeare/tokenizer_config.json"),
  ],
  [
    "one with other ids",
    withModel({ vocab: Object.fromEntries(Object.entries(vocab).map(([token, id]) => [token, 777 - id])) }),
    {},
  ],
  ["one with a post-processor", { ...bytesJson, post_processor: { type: "ByteLevel" } }, {}],
  [
    "one that does not look for words",
    { ...bytesJson, pre_tokenizer: { type: "ByteLevel", use_regex: false } },
    {},
  ],
  ["one with an added letter", withAdded("e"), {}],
  ["one with an added token of two bytes", withAdded("\u00a0"), {}],
  ["one with an added replacement character", withAdded("\ufffd"), {}],
  ["one whose written space is an added token", withAdded("Ġ"), {}],
  [
    "one that has no token for some bytes",
    withModel({ vocab: { ...vocab, a: 999 }, unk_token: "<|pad|>" }),
    {},
  ],
];

const { "\u0100": _, ...lacking } = vocab;
const { y: __, ...noY } = vocab;
const addsTheEnd = {
  type: "TemplateProcessing",
  single: [{ Sequence: { id: "A", type_id: 0 } }, { SpecialToken: { id: "<|endoftext|>", type_id: 0 } }],
  pair: [],
  special_tokens: { "<|endoftext|>": { id: "<|endoftext|>", ids: [256], tokens: ["<|endoftext|>"] } },
};
const others: readonly (readonly [string, Json, Json])[] = [
  ["merges", withModel({ vocab: { ...vocab, th: 400 }, merges: ["t h"] }), {}],
  ["words that need no merges", withModel({ vocab: { ...vocab, the: 400 }, ignore_merges: true }), {}],
  ["unknown tokens that become one", withModel({ fuse_unk: true, unk_token: "a" }), {}],
  ["a mark at a word's end", withModel({ end_of_word_suffix: "a" }), {}],
  ["a normalizer", { ...bytesJson, normalizer: { type: "Lowercase" } }, {}],
  ["a space in front", { ...bytesJson, pre_tokenizer: { type: "ByteLevel", add_prefix_space: true } }, {}],
  ["an end that is added", { ...bytesJson, post_processor: addsTheEnd }, {}],
  ["spaces taken out", bytesJson, { remove_space: true }],
  ["capitals taken out", bytesJson, { do_lowercase_and_remove_accent: true }],
  ["a byte left out", withModel({ vocab: lacking }), {}],
  ["a letter left out", withModel({ vocab: noY }), {}],
];

const PARTS = [
  "the",
  " ",
  "  \n",
  "don't",
  "Zürich\u00a0",
  "日本語",
  "🌊",
  "👩‍👩‍👧",
  "e\u0301",
  "\ufffd",
  "\ufeff",
  "\u0000\u0080",
  "\ud83c",
  "\udf0a",
  "<|endoftext|>",
  "<|pad|",
  "Ġ",
  "\u{10ffff}",
];

/** Texts made of some given parts and of random characters. */
function texts(count: number): string[] {
  const next = mulberry32(9);
  const below = (bound: number): number => Math.floor(next() * bound);
  return Array.from({ length: count }, () =>
    Array.from({ length: below(12) }, () =>
      next() < 0.8 ? PARTS[below(PARTS.length)]! : String.fromCodePoint(below(2 ** below(21))),
    ).join(""),
  );
}

/** The library's own ids of a text. */
const library = (json: Json, config: Json) => {
  const tokenizer = new Tokenizer(json, config);
  return (text: string): readonly unknown[] => tokenizer.encode(text).ids;
};

describe("bytes to tokens by a table", () => {
  it.each(alone)("has the library's ids: %s tokenizer", async (_, json, config) => {
    const encode = library(json, config);
    const tokenizer = await loadTokenizer(json, config, "it", startThread);
    const byTable = byteEncoder(json, config)!;
    let told = 0;
    for (const [i, text] of texts(3000).entries()) {
      const wellFormed = text.toWellFormed();
      const ids = encode(wellFormed);
      const quick = byTable(wellFormed);
      // Each text that the table does not tell goes through the thread: enough of them are compared.
      if (quick !== undefined || i < 300) {
        for (const special of [true, false]) {
          expect(await tokenizer.encode(text, { special }), JSON.stringify(text)).toEqual(ids);
        }
      }
      if (quick === undefined) continue;
      told++;
      expect(quick).toEqual(ids);
    }
    expect(told).toBeGreaterThan(500);
    tokenizer.close();
  });

  it("leaves a text with an added token to the library", () => {
    const byTable = byteEncoder(bytesJson, bytesConfig)!;
    expect(byTable("a<|endoftext|")).toEqual([...new TextEncoder().encode("a<|endoftext|")]);
    expect(byTable("a<|endoftext|>")).toBeUndefined();
  });

  it.each(others)("is not for a tokenizer with %s", async (_, json, config) => {
    const encode = library(json, config);
    expect(byteEncoder(json, config)).toBeUndefined();
    const tokenizer = await loadTokenizer(json, config, "it", startThread);
    for (const text of texts(50)) {
      // What the library finds no token for is refused, not a hole among the ids.
      const ids = encode(text.toWellFormed());
      if (ids.every((id) => typeof id === "number")) expect(await tokenizer.encode(text)).toEqual(ids);
      else await expect(tokenizer.encode(text)).rejects.toThrow(/no token for/);
    }
    tokenizer.close();
  });
});
