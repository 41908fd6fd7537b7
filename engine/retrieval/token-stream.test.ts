import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { mulberry32 } from "../../test/gpu.ts";
import { startThread } from "../../weights/node/threads.ts";
import { loadTokenizer, type TextTokenizer } from "../../weights/tokenizer.ts";
import { TokenSpans } from "./token-spans.ts";
import { type TokenBlock, TokenStream, type TokenStreamOptions } from "./token-stream.ts";

const readJson = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../${name}`, import.meta.url), "utf8"));
const fixture = async (folder: string, file = "tokenizer.json"): Promise<TextTokenizer> => {
  const at = `test/fixtures/tokenizers/${folder}`;
  return loadTokenizer(readJson(`${at}/${file}`), readJson(`${at}/tokenizer_config.json`), file, startThread);
};

/** The tokenizer of bytes with `merges`. */
async function merging(merges: readonly string[]): Promise<TextTokenizer> {
  const base = readJson("test/fixtures/tokenizers/bytes/tokenizer.json") as {
    model: { vocab: Readonly<Record<string, number>> };
  };
  const merged = merges.map((pair, i) => [pair.replace(" ", ""), 260 + i] as const);
  const vocab = { ...base.model.vocab, ...Object.fromEntries(merged) };
  return loadTokenizer({ ...base, model: { ...base.model, vocab, merges } }, null, "merging", startThread);
}

const tokenizers: readonly (readonly [string, TextTokenizer])[] = [
  [
    "the default model's",
    await loadTokenizer(
      readJson("weights/shakespeare/tokenizer.json"),
      readJson("weights/shakespeare/tokenizer_config.json"),
      "shakespeare",
      startThread,
    ),
  ],
  [
    "a merging one",
    await merging(["c o", "co d", "cod e", "Ġ code", "ð Ł", "a a", "aa aa", "aaaa aaaa", "Ġ Ġ"]),
  ],
  ["Llama's kind", await fixture("llama")],
  ["Llama's kind with Metaspace", await fixture("llama", "tokenizer-metaspace.json")],
  ["a chat's", await fixture("chat")],
];

const modelOf = (tokenizer: TextTokenizer) => ({
  encode: tokenizer.encode,
  tokenBytes: (token: number) => tokenizer.bytes(token),
});

/** `text` cut anywhere, into up to `longest` at once. */
async function* chunks(text: string, seed: number, longest: number): AsyncGenerator<string> {
  const next = mulberry32(seed);
  for (let at = 0; at < text.length; ) {
    const length = Math.floor(next() * (longest + 1));
    yield text.slice(at, at + length);
    at += length;
  }
}

async function blocksOf(stream: TokenStream): Promise<TokenBlock[]> {
  const blocks: TokenBlock[] = [];
  for await (const block of stream.blocks()) blocks.push(block);
  return blocks;
}

/** Checks a streamed text against the whole, and gives the number of blocks. */
async function expectWhole(
  tokenizer: TextTokenizer,
  text: string,
  seed: number,
  options: TokenStreamOptions,
  longest = 300,
): Promise<number> {
  const model = modelOf(tokenizer);
  const blocks = await blocksOf(new TokenStream(model, chunks(text, seed, longest), options));
  const tokens = blocks.flatMap((block) => [...block.tokens]);
  const whole = await tokenizer.encode(text);
  const at = tokens.findIndex((token, i) => token !== whole[i]);
  const shown = `seed ${seed}, token ${at}, ${JSON.stringify(tokenizer.decode(whole.slice(at, at + 20)))}`;
  expect(at, shown).toBe(-1);
  expect(tokens.length).toBe(whole.length);
  expect(blocks.map((block) => block.text).join("")).toBe(text);
  const spans = new TokenSpans(text, whole, model.tokenBytes);
  const ends = whole.map((_, i) => Math.max(spans.floor[i]!, spans.ceil[i + 1]!));
  expect(blocks.flatMap((block) => [...block.starts])).toEqual([...spans.floor.subarray(0, -1)]);
  expect(blocks.flatMap((block) => [...block.ends])).toEqual(ends);
  let offset = 0;
  for (const block of blocks) {
    expect(block.offset).toBe(offset);
    offset += block.text.length;
  }
  return blocks.length;
}

const WORDS = [
  "the",
  "code",
  "tide,",
  "of",
  "lattice.",
  "Zürich",
  "naïve",
  "日本語の本",
  "🌊🌋",
  "x7",
  "(code)",
  "3,141",
];
const RARE = [
  "<|endoftext|>",
  "</s>",
  "\u00a0",
  "e\u0301",
  "aaaaaaaaaaaaaaaaaaaaaaa",
  "12345678901234567890",
  "\n\n\n",
  "     ",
  "\t",
  "\ud83c",
  "👩‍👩‍👧",
  "....",
];

/** Words and what tokenizers stumble over. */
function mixture(seed: number, length: number, rare = 0.15): string {
  const next = mulberry32(seed);
  const pick = (from: readonly string[]): string => from[Math.floor(next() * from.length)]!;
  let text = "";
  while (text.length < length) text += pick(next() < rare ? RARE : WORDS) + (next() < 0.85 ? " " : "");
  return text;
}

describe.each(tokenizers)(
  "a streamed text has the tokens and places of the whole, with %s tokenizer,",
  (_, tokenizer) => {
    it("wherever its chunks and its pieces end", async () => {
      for (let seed = 1; seed <= 40; seed++) {
        const text = mixture(seed, 2000 + 50 * seed);
        const piece = 300 + 37 * (seed % 11);
        const blocks = await expectWhole(tokenizer, text, seed, { piece, overlap: 100 });
        expect(blocks).toBeGreaterThan(2);
      }
    });

    it("if it is shorter than a piece, of one, or a little longer", async () => {
      const text = mixture(7, 500);
      for (const piece of [text.length + 1, text.length, text.length - 1]) {
        await expectWhole(tokenizer, text, 1, { piece, overlap: 100 });
      }
      await expectWhole(tokenizer, "🌊", 1, { piece: 300 }, 1);
    });

    it("if it is one character over and over, or digits without end", async () => {
      for (const run of ["a", " ", "\n", "1", "🌊", "aaaaaaab", "1234567"]) {
        const text = `${mixture(1, 250)}${run.repeat(900)}${mixture(2, 700)}`;
        await expectWhole(tokenizer, text, 3, { piece: 300, overlap: 64 });
      }
    });
  },
);

describe("a streamed text", () => {
  const [, merge] = tokenizers[1]!;
  const model = modelOf(merge);

  /** `count` times `chunk`, and how many of them were asked for. */
  const repeated = (chunk: string, count: number) => {
    const told = { asked: 0, closed: false };
    const source = (async function* () {
      try {
        for (; told.asked < count; told.asked++) yield chunk;
      } finally {
        told.closed = true;
      }
    })();
    return { told, source };
  };

  it.each([
    ["words", mixture(1, 1000, 0), 16_000],
    ["what has no place to join at", "a".repeat(1000), 100_000],
  ])("is held in part only, however long: %s", async (_, chunk, most) => {
    const { told, source } = repeated(chunk, 120);
    const stream = new TokenStream(model, source, { piece: 800, overlap: 100 });
    let length = 0;
    let text = 0;
    for await (const block of stream.blocks()) {
      length += block.tokens.reduce((sum, token) => sum + model.tokenBytes(token).length, 0);
      text += block.text.length;
      expect(1000 * told.asked - text).toBeLessThan(most);
    }
    expect(length).toBe(120 * new TextEncoder().encode(chunk).length);
    expect(stream.bytes).toBeLessThan(20 * most);
  });

  it("is read no further than is asked for, and let go of", async () => {
    const { told, source } = repeated(mixture(1, 1000), 300);
    for await (const _ of new TokenStream(model, source, { piece: 800, overlap: 100 }).blocks()) break;
    await new Promise((resolve) => setTimeout(resolve, 0));
    expect(told.closed).toBe(true);
    expect(told.asked).toBeLessThan(5);
  });

  it("stops when it is told to, between pieces and where no more comes", async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const blocks = new TokenStream(model, [mixture(1, 9000)], { piece: 800, overlap: 100, signal }).blocks();
    await blocks.next();
    controller.abort("within");
    await expect(blocks.next()).rejects.toBe("within");

    const never = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => undefined) }) };
    const waits = new AbortController();
    const running = new TokenStream(model, never, { signal: waits.signal }).blocks().next();
    waits.abort("waiting");
    await expect(running).rejects.toBe("waiting");
  });

  it("has no tokens where it is empty", async () => {
    expect(await blocksOf(new TokenStream(model, ["", ""]))).toEqual([]);
    expect(await blocksOf(new TokenStream(model, ""))).toEqual([]);
  });
});

const TOKENIZER = "../shared/data/tokenizers/gpt-neox-20b/tokenizer.json";
const TEXT = "../shared/data/wikitext-2/test.txt";
const path = (name: string): URL => new URL(`../../${name}`, import.meta.url);
const absent = ![TOKENIZER, TEXT].every((file) => existsSync(path(file)));

describe.skipIf(absent)(`a streamed text with GPT-NeoX 20B's tokenizer (needs ${TOKENIZER}, ${TEXT})`, () => {
  it("has the tokens and places of the whole", async () => {
    const tokenizer = await loadTokenizer(readJson(TOKENIZER), null, "gpt-neox-20b", startThread);
    const text = readFileSync(path(TEXT), "utf8");
    expect(await expectWhole(tokenizer, text, 1, {}, 100_000)).toBeGreaterThan(15);
    const part = text.slice(0, 40_000);
    for (let seed = 1; seed <= 3; seed++) {
      await expectWhole(tokenizer, part, seed, { piece: 1500 + 101 * seed, overlap: 256 }, 5000);
    }
    for (let seed = 1; seed <= 20; seed++) {
      await expectWhole(tokenizer, mixture(seed, 3000), seed, { piece: 500 + 37 * seed, overlap: 128 });
    }
    for (const run of ["a", " ", "\n", "1234567", "é", "🌊"]) {
      const long = `${mixture(1, 250)}${run.repeat(900)}${mixture(2, 700)}`;
      await expectWhole(tokenizer, long, 3, { piece: 400, overlap: 100 });
    }
  });
});
