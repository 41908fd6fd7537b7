import { describe, expect, it } from "vitest";
import { testGpu } from "../../test/gpu.ts";
import { byteTokenizer, goldenModelFiles } from "../../test/models.ts";
import { Model } from "../model.ts";
import { retrieve } from "./retrieval.ts";

/** Bytes, and `code` in one token, or with a space before it. */
function mergingTokenizer() {
  const base = byteTokenizer().tokenizer as {
    readonly model: { readonly vocab: Readonly<Record<string, number>> };
  };
  const merges = ["c o", "d e", "co de", "Ġ code"];
  const merged = Object.fromEntries(merges.map((pair, i) => [pair.replace(" ", ""), 260 + i]));
  const vocab = { ...base.model.vocab, ...merged };
  return { ...base, model: { ...base.model, vocab, merges } };
}

const files = await goldenModelFiles("native_long");
const model = await Model.load(await testGpu(), { ...files, tokenizer: mergingTokenizer() });

describe("a retrieval", () => {
  it.each([
    ["the code is here", "code", [263]],
    ["the (code) is here", "code", [262]],
    ["the (code) is here", " code", [262]],
    ["the code is here", " code", [263]],
    ["the code is here", "no such", [263], " code"],
  ] as const)("tells the cue that was found: in %j %j", async (context, needle, cue, query?: string) => {
    const found = await retrieve(model, { context, needle, query, mode: "pvm", topK: 2 });
    expect(found.matches[0]!.similarity).toBeCloseTo(1, 5);
    expect(found.cue).toEqual(cue);
  });

  it("hands out the context's tokens, block after block, where it is asked to", async () => {
    const context = `${"The code of the naïve 🌊 is told. ".repeat(6000)}The end.`;
    const chunks = context.match(/.{1,50000}/gsu)!;
    const options = { needle: "The end", mode: "pvm", topK: 1 } as const;
    const kept = await retrieve(model, { ...options, context: chunks, keepTokens: true });
    const whole = await model.encode(context);
    expect(kept.tokens).toBe(whole.length);
    expect([...kept.contextTokens!]).toEqual(whole);
    const plain = await retrieve(model, { ...options, context: chunks });
    expect(plain).toEqual({ ...kept, contextTokens: undefined });
    expect(plain).not.toHaveProperty("contextTokens");
  });
});
