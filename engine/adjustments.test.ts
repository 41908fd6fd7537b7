import { describe, expect, it } from "vitest";
import { adjustLogitsReference } from "../kernels/adjust-logits/reference.ts";
import { testGpu } from "../test/gpu.ts";
import { generated, loadTiny, scriptedModelFiles } from "../test/models.ts";
import { refusal } from "../weights/testing/fixtures.ts";
import { collect } from "./generate.ts";
import { Model } from "./model.ts";

const PROMPT = "the oscillators agree";
const model = await loadTiny(await testGpu());
const greedy = { temperature: 0, maxTokens: 14, keepPending: true } as const;

/** The likeliest token after `tokens`, of which the last `own` are the text, by the reference. */
async function likeliest(
  tokens: readonly number[],
  own: number,
  presencePenalty: number,
  frequencyPenalty: number,
): Promise<number> {
  const { vocabulary } = model.config;
  // Any token may follow: its log-probability differs from its logit by what is the same for all.
  const { top } = (await model.score([...tokens, 0], 20)).at(-1)!;
  const logits = new Float64Array(vocabulary).fill(-1e3);
  for (const { token, logprob } of top) logits[token] = logprob;
  const count = (from: readonly number[]): number[] =>
    Array.from({ length: vocabulary }, (_, v) => from.filter((token) => token === v).length);
  const adjusted = adjustLogitsReference(logits, count(tokens), count(tokens.slice(0, tokens.length - own)), {
    repetitionPenalty: 1,
    presencePenalty,
    frequencyPenalty,
    logitBias: new Map(),
  });
  return adjusted.indexOf(Math.max(...adjusted));
}

describe("presence and frequency penalties", () => {
  it("count the text's own tokens and not the prompt's, step by step", async () => {
    const prompt = await model.encode(PROMPT);
    const { tokens } = await collect(
      model.generate(prompt, { ...greedy, presencePenalty: 0.7, frequencyPenalty: 0.4 }),
    );
    const plain = await collect(model.generate(prompt, greedy));
    expect(tokens).not.toEqual(plain.tokens);
    for (const [i, token] of tokens.entries()) {
      const before = [...prompt, ...tokens.slice(0, i)];
      expect(await likeliest(before, i, 0.7, 0.4)).toBe(token);
    }
  });

  it("give the same text however far decoding runs ahead, and whatever shares its steps", async () => {
    const options = { seed: 5, temperature: 1, maxTokens: 40, frequencyPenalty: 1.5, logitBias: { 101: 3 } };
    const alone = await generated(model, PROMPT, { ...options, runAhead: 0 });
    const others = [{}, { frequencyPenalty: -1 }, { logitBias: { 66: 5 } }, { repetitionPenalty: 1.4 }];
    const plain = await generated(model, PROMPT, { seed: 8 });
    const [first, neighbour] = await Promise.all([
      generated(model, PROMPT, options),
      generated(model, PROMPT, { seed: 8 }),
      ...others.map((other) => generated(model, PROMPT, { ...other, seed: 9, maxTokens: 25 })),
    ]);
    expect([first.tokens, first.saved]).toEqual([alone.tokens, alone.saved]);
    expect([neighbour.tokens, neighbour.saved]).toEqual([plain.tokens, plain.saved]);
  });

  it("are the same for a reader who leaves and goes on", async () => {
    const options = { seed: 6, temperature: 1, maxTokens: 30, presencePenalty: 2, keepPending: true };
    const stream = model.open();
    const read: number[] = [];
    for await (const { token } of model.generate(PROMPT, { ...options, stream })) {
      if (token !== undefined) read.push(token);
      if (read.length === 11) break;
    }
    const whole = await generated(model, PROMPT, options);
    expect(read).toEqual(whole.tokens.slice(0, 11));
    const after = await collect(model.generate("", { seed: 6, temperature: 0, maxTokens: 3, stream }));
    const fresh = model.open();
    const tokens = [...(await model.encode(PROMPT)), ...read];
    const straight = await collect(
      model.generate(tokens, { seed: 6, temperature: 0, maxTokens: 3, stream: fresh }),
    );
    expect(after.tokens).toEqual(straight.tokens);
    for (const each of [stream, fresh]) each.close();
  });
});

describe("a bias of logits", () => {
  it("forces a token, or forbids it", async () => {
    const forced = await collect(model.generate(PROMPT, { ...greedy, logitBias: { 120: 100 } }));
    expect(new Set(forced.tokens)).toEqual(new Set([120]));
    const plain = await collect(model.generate(PROMPT, greedy));
    const logitBias = Object.fromEntries(plain.tokens.map((token) => [token, -100]));
    const other = await collect(model.generate(PROMPT, { ...greedy, logitBias }));
    expect(other.tokens.filter((token) => plain.tokens.includes(token))).toEqual([]);
  });

  it.each([
    [{ 300: 1 }, "300 is not a token from 0 to 299"],
    [{ "-1": 1 }, "-1 is not a token"],
    [{ 1: 100.5 }, "100.5 is not from -100 to 100"],
    [{ 1: Number.NaN }, "NaN is not from"],
    [Object.fromEntries(Array.from({ length: 1025 }, (_, v) => [v, 1])), "at most 1024 can"],
  ])("is refused where it is out of range, %#", async (logitBias, message) => {
    const error = await refusal(collect(model.generate(PROMPT, { logitBias })));
    expect(error).toMatchObject({ code: "invalid_argument", where: "logitBias" });
    expect(error.message).toContain(message);
  });
});

it("ignoreEos goes on after the end of a text", async () => {
  const eos = "h".charCodeAt(0);
  const files = scriptedModelFiles(Buffer.from("abcdefghij"), { eos_token_id: eos });
  const ending = await Model.load(await testGpu(), files);
  const options = { temperature: 0, maxTokens: 9 };
  const ended = await collect(ending.generate("a", options));
  expect([ended.text, ended.reason]).toEqual(["bcdefg", "eos"]);
  const on = await collect(ending.generate("a", { ...options, ignoreEos: true }));
  expect([on.text, on.reason]).toEqual(["bcdefghij", "length"]);
});
