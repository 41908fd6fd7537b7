import { describe, expect, it } from "vitest";
import { LAGS } from "../../kernels/lag-alignment/lag-alignment.ts";
import { mulberry32, testGpu } from "../../test/gpu.ts";
import { loadTiny } from "../../test/models.ts";
import { refusal } from "../../weights/testing/fixtures.ts";
import { type Profile, ProfileBuilder } from "./profile.ts";
import { retrieve } from "./retrieval.ts";

/** By definition: parts of the least power of two of tokens that makes no more than `parts`, and the best of each. */
function plainProfile(starts: readonly number[], similarities: readonly number[], parts: number): Profile {
  let width = 1;
  while (Math.ceil(starts.length / width) > parts) width *= 2;
  const first = starts.flatMap((_, at) => (at % width === 0 ? [at] : []));
  return {
    offsets: Float64Array.from(first, (at) => starts[at]!),
    similarity: Float32Array.from(first, (at) => {
      const own = similarities.slice(at, at + width);
      return own.length > 0 ? Math.max(...own) : Number.NaN;
    }),
  };
}

describe("a profile", () => {
  it.each([
    [1, 1],
    [1, 100],
    [7, 6],
    [7, 7],
    [7, 8],
    [7, 1000],
    [64, 65],
    [100, 3217],
  ])("of at most %i parts has the best of each part of %i tokens, however they come", (parts, tokens) => {
    const next = mulberry32(tokens);
    const similarities = Array.from({ length: Math.max(1, tokens - 5) }, () => Math.fround(2 * next() - 1));
    let end = 0;
    const starts = similarities.map(() => (end += Math.floor(3 * next())));
    while (starts.length < tokens) starts.push(end++);
    const builder = new ProfileBuilder(parts);
    let added = 0;
    for (let at = 0; at < tokens; ) {
      const to = Math.min(tokens, at + 1 + Math.floor(40 * next()));
      builder.push(Float64Array.from(starts.slice(at, to)));
      at = to;
      // Similarities lag behind, and those of another cue are worse.
      for (; added < Math.min(similarities.length, at === tokens ? at : at - 9); added++) {
        builder.add(added, similarities[added]!);
        builder.add(added, similarities[added]! - 0.5);
      }
    }
    const { profile } = builder;
    expect(profile).toEqual(plainProfile(starts, similarities, parts));
    expect(profile.offsets.length).toBeLessThanOrEqual(parts);
    expect(2 * profile.offsets.length).toBeGreaterThanOrEqual(Math.min(parts, tokens));
  });

  it.each([0, -1, 1.5, Number.NaN, 65_537])("of %d parts is refused", (parts) => {
    expect(() => new ProfileBuilder(parts)).toThrow(
      expect.objectContaining({ code: "invalid_argument", where: "profile" }),
    );
  });
});

const model = await loadTiny(await testGpu());

describe("retrieval's profile", () => {
  const needle = "the harbour 🌊 at night";

  /** A text of `words` made-up words with the needle after `before` of them. */
  function textWith(words: number, before: number): string {
    const next = mulberry32(words);
    const word = (): string =>
      Array.from({ length: 2 + Math.floor(6 * next()) }, () => "aeiounrstlé"[Math.floor(11 * next())]).join(
        "",
      );
    const all = Array.from({ length: words }, word);
    all.splice(before, 0, needle);
    return all.join(" ");
  }

  it.each([
    [30, 3],
    [400, 399],
    [3000, 1234],
    [14_000, 13_000],
  ])("of a text of %i words has its peak where the needle is, and covers the text", async (words, before) => {
    const context = textWith(words, before);
    for (const parts of [1, 10, 256]) {
      const { matches, tokens, profile } = await retrieve(model, {
        context,
        needle,
        mode: "hybrid",
        topK: 1,
        profile: parts,
      });
      const { offsets, similarity } = profile!;
      const known = Array.from(similarity).filter((value) => !Number.isNaN(value));
      const peak = similarity.indexOf(Math.max(...known));
      expect(similarity[peak]).toBeCloseTo(matches[0]!.similarity, 6);
      const start = context.indexOf(needle);
      expect(matches[0]!.start).toBe(start);
      expect(offsets[peak]).toBeLessThanOrEqual(start);
      expect(offsets[peak + 1] ?? context.length).toBeGreaterThan(start);
      expect(offsets[0]).toBe(0);
      expect(Array.from(offsets)).toEqual(Array.from(offsets).toSorted((a, b) => a - b));
      const width = 2 ** Math.max(0, Math.ceil(Math.log2(tokens / parts)));
      expect(offsets.length).toBe(Math.ceil(tokens / width));
    }
  });

  it("has for each token what a match that begins there has, and nothing where none may begin", async () => {
    const context = textWith(6, 3);
    const { tokens, profile } = await retrieve(model, {
      context,
      needle,
      mode: "pvm",
      topK: 1000,
      profile: 1000,
    });
    const cue = (await model.encode(needle)).length;
    const own = await retrieve(model, { context, needle, mode: "pvm", topK: 1000 });
    expect(profile!.similarity.length).toBe(tokens);
    for (const { position, similarity } of own.matches) {
      // A cue of its own with a space before it begins a token earlier.
      const near = profile!.similarity.slice(Math.max(0, position - 1), position + 1);
      expect(Array.from(near)).toContain(Math.fround(similarity));
    }
    const known = Array.from(profile!.similarity, (value) => !Number.isNaN(value));
    expect(known.lastIndexOf(true)).toBe(tokens - cue + LAGS);
    expect(known.indexOf(false)).toBe(tokens - cue + LAGS + 1);
  });

  it("of a text in chunks is that of the whole, and changes nothing else", async () => {
    const context = textWith(20_000, 15_000);
    const options = { needle, mode: "plm", topK: 4, around: 20 } as const;
    const chunks = function* () {
      for (let at = 0; at < context.length; at += 7777) yield context.slice(at, at + 7777);
    };
    const { workingBytes: _, ...whole } = await retrieve(model, { ...options, context, profile: 300 });
    const { workingBytes: __, ...parts } = await retrieve(model, {
      ...options,
      context: chunks(),
      profile: 300,
    });
    expect(parts).toEqual(whole);
    const { workingBytes: ___, ...without } = await retrieve(model, { ...options, context });
    const { profile: ____, ...others } = whole;
    expect(without).toEqual(others);
  });

  it("is refused before anything else is done, where it can have no parts", async () => {
    const options = { context: "text", needle: "t", mode: "pvm", topK: 1, profile: 0 } as const;
    expect(await refusal(retrieve(model, options))).toMatchObject({
      code: "invalid_argument",
      where: "profile",
    });
  });
});
