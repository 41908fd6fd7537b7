import { describe, expect, it } from "vitest";
import { firstDifference, mulberry32, testGpu } from "../../test/gpu.ts";
import { byteTokenizer, loadDefault, loadTiny, scriptedModelFiles } from "../../test/models.ts";
import { startThread } from "../../weights/node/threads.ts";
import { refusal } from "../../weights/testing/fixtures.ts";
import { loadTokenizer } from "../../weights/tokenizer.ts";
import { Model } from "../model.ts";
import { tokenFeatures } from "./features.ts";
import {
  type Match,
  type RetrievalMode,
  type RetrievalModel,
  type RetrieveOptions,
  retrieve,
} from "./retrieval.ts";

const gpu = await testGpu();
const models = [
  ["default", await loadDefault(gpu)],
  ["tiny", await loadTiny(gpu)],
] as const;
const tiny = models[1][1];
const modes: readonly RetrievalMode[] = ["pvm", "plm", "hybrid"];
/** Every mode with one model. The other shows what depends on a model, in the mode that has both memories. */
const each = models.flatMap(([name, model]) =>
  (name === "default" ? modes : (["hybrid"] as const)).map((mode) => [name, mode, model] as const),
);

/** `length` characters of made-up words, the same for the same seed. */
function prose(seed: number, length: number): string {
  const next = mulberry32(seed);
  const pick = (from: string): string => from[Math.floor(next() * from.length)]!;
  let text = "";
  while (text.length < length) {
    for (let syllables = 1 + Math.floor(next() * 3); syllables > 0; syllables--) {
      text += pick("bcdfghlmnprstvw") + pick("aaeeeioou") + pick("nrst    ").trim();
    }
    text += next() < 0.1 ? ". " : " ";
  }
  return text.slice(0, length);
}

async function find(
  model: RetrievalModel,
  options: Pick<RetrieveOptions, "needle"> & Partial<RetrieveOptions> & { readonly context: string },
): Promise<readonly Match[]> {
  const { matches } = await retrieve(model, { mode: "hybrid", topK: 5, ...options });
  for (const { text, start, end, similarity, confidence } of matches) {
    expect(options.context.slice(start, end)).toBe(text);
    expect(text).not.toMatch(/\p{Surrogate}|\ufffd/u);
    expect(Math.abs(similarity)).toBeLessThanOrEqual(1);
    expect(confidence >= 0 && confidence <= 1).toBe(true);
  }
  const scores = matches.map(({ similarity }) => similarity);
  expect(scores).toEqual(scores.toSorted((a, b) => b - a));
  return matches;
}

/** UTF-8 bytes: tokens of a tokenizer of bytes. */
const bytesIn = (text: string): number => new TextEncoder().encode(text).length;

describe.each(each)("retrieval with the %s model, %s,", (_, mode, model) => {
  it("finds an exact needle wherever it stands, with a similarity of 1", async () => {
    const needle = "the code is X7Z9";
    for (const before of [0, 1, 7, 300, 2990, 3000]) {
      const text = prose(before, 3000);
      const context = text.slice(0, before) + needle + text.slice(before);
      const [first, second] = await find(model, { context, needle, mode });
      expect(first).toMatchObject({ text: needle, position: before, start: before, end: before + 16 });
      expect(first!.similarity).toBeGreaterThan(0.999);
      expect(first!.confidence).toBeGreaterThan(0.99);
      expect(second!.similarity).toBeLessThan(0.97);
    }
  });

  it("finds every occurrence, neighbours too, in the order they stand in", async () => {
    const needle = "key 42";
    const places = [10, 16, 500, 1200, 1211];
    let context = prose(3, 2000);
    for (const at of places) context = context.slice(0, at) + needle + context.slice(at + needle.length);
    const matches = await find(model, { context, needle, mode, topK: 7 });
    expect(matches.slice(0, 5).map(({ position }) => position)).toEqual(places);
    expect(matches.slice(0, 5).every(({ similarity }) => similarity > 0.999)).toBe(true);
    expect(matches).toHaveLength(7);
    const spans = matches.toSorted((a, b) => a.start - b.start);
    expect(spans.every(({ start }, i) => i === 0 || start >= spans[i - 1]!.end)).toBe(true);
    expect(await find(model, { context, needle, mode, topK: 2 })).toEqual(matches.slice(0, 2));
  });

  it("is sure of a needle that is there, less so with a wrong character, and not of one that is absent", async () => {
    const absent: number[] = [];
    const bent: number[] = [];
    for (let seed = 1; seed <= 12; seed++) {
      const next = mulberry32(seed);
      const context = prose(seed, [60, 200, 1000, 4000][seed % 4]!);
      const length = 12 + Math.floor(next() * 20);
      const at = Math.floor(next() * (context.length - length));
      const needle = context.slice(at, at + length);
      const [present] = await find(model, { context, needle, mode });
      expect(present).toMatchObject({ text: needle, start: at, confidence: 1 });
      const middle = Math.floor(length / 2);
      const wrong = `${needle.slice(0, middle)}#${needle.slice(middle + 1)}`;
      const near = (await find(model, { context, needle: wrong, mode }))[0]!;
      bent.push(Math.abs(near.start - at) <= 1 ? near.confidence : 0);
      const other = prose(seed + 1000, length);
      expect(context).not.toContain(other);
      absent.push((await find(model, { context, needle: other, mode }))[0]!.confidence);
    }
    const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length / 2]!;
    expect(Math.max(...absent)).toBeLessThan(0.1);
    expect(median(absent)).toBeLessThan(0.01);
    expect(median(bent)).toBeGreaterThan(Math.max(0.1, ...absent));
  });

  it("finds a needle that is damaged, and where it stands", async () => {
    const damages: readonly ((needle: string, at: number) => string)[] = [
      (needle, at) => needle.slice(0, at) + needle.slice(at + 1),
      (needle, at) => `${needle.slice(0, at)}x${needle.slice(at)}`,
      (needle, at) => `${needle.slice(0, at)}${needle[at + 1]}${needle[at]}${needle.slice(at + 2)}`,
      (needle) => needle.replace(/(...)./g, "$1#"),
      (needle) => needle.toUpperCase(),
      (needle) => needle.replaceAll(" ", "  "),
    ];
    for (let seed = 1; seed <= 2; seed++) {
      const context = prose(seed, 2000);
      const at = 300 * seed;
      const needle = context.slice(at, at + 40);
      const [absent] = await find(model, { context, needle: prose(seed + 1000, 40), mode });
      for (const damage of damages) {
        const [match] = await find(model, { context, needle: damage(needle, 11 + seed), mode });
        expect(Math.abs(match!.start - at)).toBeLessThanOrEqual(2);
        expect(match!.similarity).toBeLessThan(1);
        expect(match!.confidence).toBeGreaterThan(2 * absent!.confidence);
      }
    }
  });
});

describe("retrieval", () => {
  it("looks for a query in the needle's place", async () => {
    const context = `${prose(1, 400)} the harbour ${prose(2, 400)} the mountain ${prose(3, 400)}`;
    const [match] = await find(tiny, { context, needle: "the harbour", query: "the mountain" });
    expect(match).toMatchObject({
      text: "the mountain",
      start: context.indexOf("the mountain"),
      similarity: 1,
    });
  });

  it.each([
    ["emoji around", "🌊🌊 the tide 🌊🌊", "the tide"],
    ["emoji within", "ebb 🌊 flow", "🌊 flow"],
    ["characters of two and three bytes", "déjà vu 日本語の本", "日本語"],
    ["half a surrogate pair before it", "a \ud83c b the end", "the end"],
  ])("counts characters of any width: %s", async (_, middle, needle) => {
    const before = `${prose(1, 200)} ñ😀 `;
    const context = `${before}${middle}${prose(2, 200)}`;
    const { matches } = await retrieve(tiny, { context, needle, mode: "pvm", topK: 1 });
    const start = context.indexOf(needle);
    expect(matches[0]).toMatchObject({
      text: needle,
      start,
      end: start + needle.length,
      position: bytesIn(context.slice(0, start)),
      similarity: 1,
    });
  });

  it("never cuts a character, though tokens do", async () => {
    const context = "🌊🌋🌌🌍🌎🌏🌐🌑🌒🌓".repeat(8);
    for (const needle of ["x", "xyz", "🦊", "a🌊", "🌊b", "\u{1f30b}🌊"]) {
      for (const { text } of await find(tiny, { context, needle, topK: 20 })) {
        expect(text).toMatch(/^[🌊-🌓]+$/u);
      }
    }
  });

  it("finds a needle with and without a space before it", async () => {
    const context = "code one; two code, (code) three";
    for (const needle of ["code", " code"]) {
      const exact = (await find(tiny, { context, needle })).filter(({ similarity }) => similarity === 1);
      expect(exact.map(({ start, text }) => start + text.indexOf("code"))).toEqual(
        needle === "code" ? [0, 14, 21] : expect.arrayContaining([0, 14, 21]),
      );
    }
  });

  it("finds with a tokenizer that merges a word with the space before it", async () => {
    const model = await merging(tiny, ["c o", "co d", "cod e", "Ġ code", "ð Ł"]);
    const context = `code ${prose(1, 300)} code 😀 ${prose(2, 300)}(code)`;
    expect(await model.encode("a code")).toHaveLength(2);
    const exact = (await find(model, { context, needle: "code" })).filter(
      ({ similarity }) => similarity === 1,
    );
    expect(exact.map(({ text }) => text)).toEqual(["code", "code", "code"]);
    expect(exact.map(({ start }) => start).toSorted((a, b) => a - b)).toEqual(
      Array.from(context.matchAll(/code/g), ({ index }) => index),
    );
    const middle = exact.find(({ start }) => start > 100 && start < 400)!;
    expect(middle.position).toBe((await model.encode(context.slice(0, middle.start - 1))).length);
    const [emoji] = await find(model, { context, needle: "😀" });
    expect(emoji).toMatchObject({ text: "😀", similarity: 1 });
  });

  it("merges overlapping hits and leaves room for the next", async () => {
    const matches = await find(tiny, { context: "aaaaaaa", needle: "aa", topK: 10 });
    expect(matches.slice(0, 3).map(({ position, text }) => [position, text])).toEqual([
      [0, "aa"],
      [2, "aa"],
      [4, "aa"],
    ]);
  });

  it.each(modes)("compares what there is of a short context: %s", async (mode) => {
    const whole = await find(tiny, { context: "a short needle", needle: "a short needle", mode });
    expect(whole).toEqual([
      { text: "a short needle", position: 0, start: 0, end: 14, similarity: 1, confidence: 1 },
    ]);
    const needle = "a needle longer than its context";
    const part = await find(tiny, { context: "its context", needle, mode });
    expect(part).toMatchObject([{ text: "its context", position: 0 }]);
    const other = await find(tiny, { context: "qqq", needle, mode });
    expect(other).toMatchObject([{ text: "qqq", position: 0 }]);
    expect(other[0]!.similarity).toBeLessThan(part[0]!.similarity);
    expect(other[0]!.confidence).toBeLessThan(0.2);
    expect(await find(tiny, { context: "a", needle: "b", mode })).toHaveLength(1);
    expect(await find(tiny, { context: "a b", needle: " ", mode })).toMatchObject([
      { start: 1, similarity: 1 },
      {},
      {},
    ]);
  });

  it("finds in a context a thousand times its needle what it finds in a short one", async () => {
    const needle = "a needle of 25 characters";
    const context = `${prose(1, 20_000)}${needle}${prose(2, 10_000)}`;
    const [match] = await find(tiny, { context, needle });
    expect(match).toMatchObject({ text: needle, position: 20_000, similarity: 1, confidence: 1 });
  });

  describe("of a context that comes in chunks", () => {
    const text = prose(1, 140_000);
    const needle = "the needle 🌊 that is there";
    // The first at the start, some around where pieces of 65,536 characters are joined, the last at the end.
    const starts = [
      0,
      40,
      ...Array.from({ length: 12 }, (_, i) => 64_900 + 60 * i),
      130_560,
      139_900,
      140_000 - needle.length,
    ];
    const whole = starts.reduce((all, at) => all.slice(0, at) + needle + all.slice(at + needle.length), text);
    async function* chunks(): AsyncGenerator<string> {
      const next = mulberry32(1);
      for (let at = 0; at < whole.length; ) {
        const length = Math.floor(next() * 5000);
        yield whole.slice(at, at + length);
        at += length;
      }
    }

    it("finds what it finds in the whole, and tells the texts around it and how far it is", async () => {
      const told: [number, number][] = [];
      const options = { needle, mode: "hybrid", topK: starts.length + 3, around: 30 } as const;
      const found = await retrieve(tiny, {
        ...options,
        context: chunks(),
        onProgress: (...progress) => told.push(progress),
      });
      const { matches, tokens } = await retrieve(tiny, { ...options, context: whole });
      expect({ matches, tokens }).toEqual({ matches: found.matches, tokens: found.tokens });
      const exact = found.matches.slice(0, starts.length);
      expect(exact.map(({ start }) => start)).toEqual(starts);
      for (const { text, position, start, end, similarity, surroundings } of exact) {
        expect(text).toBe(needle);
        expect(similarity).toBe(1);
        expect(whole.slice(start, end)).toBe(needle);
        expect(position).toBe(bytesIn(whole.slice(0, start)));
        expect(surroundings).toEqual({
          before: whole.slice(Math.max(0, start - 30), start),
          after: whole.slice(end, end + 30),
          line: 1,
        });
      }
      expect(told.length).toBeGreaterThan(2);
      expect(told.at(-1)).toEqual([found.tokens, whole.length]);
      expect(found.tokens).toBe(bytesIn(whole));
    });
  });

  it("works in the same memory however long the context is", async () => {
    const context = (count: number) => Array.from({ length: count }, (_, seed) => prose(seed, 10_000));
    const bytes = async (count: number): Promise<number> => {
      const options = { context: context(count), needle: "a needle", mode: "pvm", topK: 5 } as const;
      return (await retrieve(tiny, options)).workingBytes;
    };
    const [some, more] = [await bytes(15), await bytes(45)];
    expect(more).toBeLessThan(1.02 * some);
    expect(more).toBeLessThan(16 * 2 ** 20);
  });

  it("tells the line that a match begins in", async () => {
    const context = "one\ntwo\nthree\n\nfour";
    for (const [needle, line] of [
      ["one", 1],
      ["three", 3],
      ["four", 5],
    ] as const) {
      const [match] = await find(tiny, { context, needle, around: 2 });
      expect(match!.surroundings).toMatchObject({ line });
    }
    const [match] = await find(tiny, { context, needle: "two" });
    expect(match).not.toHaveProperty("surroundings");
  });

  it("passes on what goes wrong with the context, and refuses one that turns out empty", async () => {
    const options = { needle: "x", mode: "pvm", topK: 1 } as const;
    const failing = (async function* () {
      yield "some text";
      throw new Error("torn");
    })();
    await expect(retrieve(tiny, { ...options, context: failing })).rejects.toThrow("torn");
    const error = await refusal(retrieve(tiny, { ...options, context: ["", ""] }));
    expect(error).toMatchObject({ code: "invalid_argument", where: "context" });
  });

  it.each([
    [{ context: "" }, "context"],
    [{ needle: "" }, "needle"],
    [{ query: "" }, "query"],
    [{ topK: 0 }, "topK"],
    [{ topK: 1.5 }, "topK"],
  ])("refuses %j", async (wrong, where) => {
    const options = { context: "text", needle: "t", mode: "pvm", topK: 1, ...wrong } as const;
    expect(await refusal(retrieve(tiny, options))).toMatchObject({ code: "invalid_argument", where });
  });

  it.each(["needle", "query"] as const)(
    "refuses a %s of more tokens than a search has room for",
    async (where) => {
      const options = {
        context: "text",
        needle: "t",
        mode: "pvm",
        topK: 1,
        [where]: "n".repeat(16_385),
      } as const;
      expect(await refusal(retrieve(tiny, options))).toMatchObject({ code: "invalid_argument", where });
    },
  );

  it("refuses a mode whose memory the model lacks, and runs the other", async () => {
    const shape = { ...tiny.weights.shape, lattice: undefined };
    const model = withWeights(tiny, { ...tiny.weights, shape });
    for (const mode of ["plm", "hybrid"] as const) {
      const error = await refusal(retrieve(model, { context: "text", needle: "x", mode, topK: 1 }));
      expect(error).toMatchObject({ code: "invalid_argument", option: "mode" });
    }
    const [match] = await find(model, { context: "text", needle: "x", mode: "pvm" });
    expect(match).toMatchObject({ text: "x", position: 2 });
  });

  it("lets others run, and stops when it is told to", async () => {
    const context = prose(1, 60_000);
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    await find(tiny, { context, needle: "x" });
    expect(turns).toBeGreaterThan(3);
    clearInterval(timer);
    const options = { context, needle: "x", mode: "pvm", topK: 1 } as const;
    await expect(retrieve(tiny, { ...options, signal: AbortSignal.abort("before") })).rejects.toBe("before");
    const controller = new AbortController();
    const running = retrieve(tiny, { ...options, signal: controller.signal });
    setTimeout(() => controller.abort("within"), 0);
    await expect(running).rejects.toBe("within");
  });
});

describe("a token's feature", () => {
  it("is the first block's u of a stream of that token alone", async () => {
    const model = await Model.load(gpu, scriptedModelFiles([1, 2, 3], { conv_kernel: 4 }));
    const { size } = model.weights.shape;
    const tokens = Array.from({ length: 150 }, (_, i) => (i * 7) % 260);
    const features = await tokenFeatures(gpu, model.weights, tokens);
    const slot = model.runner.pool.take();
    for (const token of [0, 63, 64, 128, 149].map((row) => tokens[row]!)) {
      model.runner.pool.clear(slot);
      const u = await model.runner.step(slot, 0, token).readFloats("mixed", size, size);
      expect(firstDifference(features.get(token)!, u)).toBe(-1);
    }
    model.runner.pool.give(slot);
  });

  it("is the same each time, and leaves streams and buffers alone", async () => {
    const model = await loadTiny(gpu);
    const stream = model.open();
    model.runner.step(stream.slot, 0, 65);
    const saved = await model.save(stream);
    const before = gpu.bytes;
    const first = (await tokenFeatures(gpu, model.weights, [65, 66, 65])).get(65);
    const again = await tokenFeatures(gpu, model.weights, [65, 67]);
    expect(firstDifference(again.get(65)!, first!)).toBe(-1);
    expect([...again.keys()]).toEqual([65, 67]);
    expect(gpu.bytes).toBe(before);
    expect(await model.save(stream)).toEqual(saved);
    stream.close();
  });

  it("is refused for a token that the model lacks", async () => {
    const error = await refusal(tokenFeatures(gpu, tiny.weights, [1, 300]));
    expect(error).toMatchObject({ code: "invalid_argument" });
  });
});

const withWeights = (model: Model, weights: Model["weights"]): RetrievalModel => ({
  gpu: model.gpu,
  weights,
  tokenizer: model.tokenizer,
  encode: (text, options) => model.encode(text, options),
  tokenBytes: (token) => model.tokenBytes(token),
});

/** The model with a tokenizer of bytes and `merges`, whose tokens have the ids from 260 on. */
async function merging(model: Model, merges: readonly string[]): Promise<RetrievalModel> {
  const { tokenizer: json, tokenizerConfig } = byteTokenizer();
  const base = json as { model: { vocab: Readonly<Record<string, number>> } };
  const merged = merges.map((pair, i) => [pair.replace(" ", ""), 260 + i] as const);
  const vocab = { ...base.model.vocab, ...Object.fromEntries(merged) };
  const tokenizer = await loadTokenizer(
    { ...base, model: { ...base.model, vocab, merges } },
    tokenizerConfig,
    "merging",
    startThread,
  );
  return {
    ...withWeights(model, model.weights),
    tokenizer,
    encode: tokenizer.encode,
    tokenBytes: (token) => tokenizer.bytes(token),
  };
}
