import { describe, expect, it } from "vitest";
import type { Logprobs } from "../kernels/logprobs/logprobs.ts";
import { logprobsReference } from "../kernels/logprobs/reference.ts";
import { randomIntegers, testGpu } from "../test/gpu.ts";
import { generated, loadTiny, scriptedModelFiles } from "../test/models.ts";
import { refusal } from "../weights/testing/fixtures.ts";
import { collect } from "./generate.ts";
import { Model } from "./model.ts";

let opened: Promise<Model> | undefined;
/** One scan chunk of prompt rows: a longer prompt takes several passes. */
const tiny = (): Promise<Model> => {
  opened ??= testGpu().then((gpu) => loadTiny(gpu, { promptRows: 64, slots: 4 }));
  return opened;
};

const PROMPT = "the oscillators agree";
/** Far from the model's own distribution, which is what is told. */
const OPTIONS = { seed: 3, temperature: 1.4, topK: 20, repetitionPenalty: 1.5, maxTokens: 24 } as const;

/** In f64, from logits read back, of each of `tokens` but the first. */
async function reference(model: Model, tokens: readonly number[], top: number): Promise<Logprobs[]> {
  const { runner, config } = model;
  const slot = runner.pool.take();
  runner.pool.clear(slot);
  const out: Logprobs[] = [];
  for (const [t, next] of tokens.slice(1).entries()) {
    const logits = await runner.step(slot, t, tokens[t]!).readFloats("logits", 0, config.vocabulary);
    out.push(logprobsReference(logits, next, top));
  }
  runner.pool.give(slot);
  return out;
}

function expectClose(actual: readonly Logprobs[] | undefined, expected: readonly Logprobs[], within: number) {
  expect(actual).toHaveLength(expected.length);
  const flat = (all: readonly Logprobs[]) => all.flatMap((each) => [each, ...each.top]);
  const [found, wanted] = [flat(actual!), flat(expected)];
  expect(found.map(({ token }) => token)).toEqual(wanted.map(({ token }) => token));
  const off = found.map(({ logprob }, i) => Math.abs(logprob - wanted[i]!.logprob));
  expect(Math.max(...off)).toBeLessThan(within);
}

/** Everything that was taken has been given back. */
function expectAllFree(model: Model): void {
  const { pool, snapshots } = model.runner;
  expect([pool.free, snapshots.free]).toEqual([pool.slots, snapshots.slots]);
}

describe("log-probabilities of generated tokens", () => {
  it.each([
    ["short", PROMPT],
    ["of one token", [65]],
    ["of several passes", Array.from(randomIntegers(4, 150, 256))],
  ])("are the f64 log-softmax of the model's logits after a prompt %s", async (_, prompt) => {
    const model = await tiny();
    const tokens = typeof prompt === "string" ? await model.encode(prompt) : prompt;
    const finish = await generated(model, prompt, { ...OPTIONS, logprobs: 5 });
    const expected = await reference(model, [...tokens, ...finish.tokens], 5);
    expect(finish.logprobs!.map(({ token }) => token)).toEqual(finish.tokens);
    expectClose(finish.logprobs, expected.slice(tokens.length - 1), 1e-5);
    for (const { top } of finish.logprobs!) {
      expect(top.map(({ logprob }) => logprob)).toEqual(
        top.map(({ logprob }) => logprob).sort((a, b) => b - a),
      );
      expect(top.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0)).toBeLessThanOrEqual(1 + 1e-5);
    }
  });

  it("begin with the token itself where decoding is greedy", async () => {
    const finish = await generated(await tiny(), PROMPT, { temperature: 0, maxTokens: 20, logprobs: 1 });
    for (const { top, ...own } of finish.logprobs!) expect(top).toEqual([own]);
  });

  it("come with each piece, and with as many alternatives as are asked for", async () => {
    const model = await tiny();
    const { logprobs: all } = await generated(model, PROMPT, { ...OPTIONS, logprobs: 5 });
    for (let count = 0; count <= 5; count++) {
      const pieces = [];
      for await (const piece of model.generate(PROMPT, { ...OPTIONS, logprobs: count })) pieces.push(piece);
      const cut = all!.map((each) => ({ ...each, top: each.top.slice(0, count) }));
      expect(pieces.slice(0, -1).map(({ logprobs }) => logprobs)).toEqual(cut);
      expect(pieces.at(-1)!.logprobs).toBeUndefined();
      expect(pieces.at(-1)!.finish!.logprobs).toEqual(cut);
    }
  });

  it("change neither the tokens nor the state, and are left out where nobody asks", async () => {
    const model = await tiny();
    for (const metrics of [false, true]) {
      const plain = await generated(model, PROMPT, { ...OPTIONS, metrics });
      const { logprobs, ...same } = await generated(model, PROMPT, { ...OPTIONS, metrics, logprobs: 2 });
      expect({ ...same, logprobs: undefined }).toEqual(plain);
      expect(logprobs).toHaveLength(plain.tokens.length);
    }
    for await (const piece of model.generate(PROMPT, OPTIONS)) expect(piece.logprobs).toBeUndefined();
  });

  it("are the same however far decoding runs ahead", async () => {
    const model = await tiny();
    const options = { ...OPTIONS, maxTokens: 70, logprobs: 3 };
    const waiting = await generated(model, PROMPT, { ...options, runAhead: 0 });
    expect(waiting.logprobs).toHaveLength(70);
    for (const runAhead of [1, 8, 32]) {
      expect(await generated(model, PROMPT, { ...options, runAhead })).toEqual(waiting);
    }
    expectAllFree(model);
  });

  it("are the same however often the reader leaves and comes again", async () => {
    const model = await tiny();
    const whole = await generated(model, PROMPT, { ...OPTIONS, logprobs: 4 });
    const stream = model.open();
    const seen: (Logprobs | undefined)[] = [];
    for (const [i, count] of [1, 2, 5, 3, 7, 6].entries()) {
      const controller = new AbortController();
      const options = { ...OPTIONS, logprobs: 4, stream, signal: controller.signal };
      let read = 0;
      const reading = (async () => {
        for await (const { logprobs } of model.generate(i === 0 ? PROMPT : "", options)) {
          seen.push(logprobs);
          if (++read === count && i % 2 === 0) break;
          if (read === count) controller.abort("enough");
        }
      })();
      await (i % 2 === 0 ? reading : expect(reading).rejects.toBe("enough"));
    }
    expect(seen).toEqual(whole.logprobs);
    expect(await model.save(stream)).toEqual(whole.saved);
    stream.close();
    expectAllFree(model);
  });

  it("include the token that ends the text, which no piece carries", async () => {
    const script = new TextEncoder().encode("abc.");
    const files = scriptedModelFiles(script, { eos_token_id: ".".charCodeAt(0) });
    const model = await Model.load(await testGpu(), files, { slots: 1 });
    const pieces = [];
    for await (const piece of model.generate("a", { temperature: 0, logprobs: 1 })) pieces.push(piece);
    expect(pieces.map(({ logprobs }) => logprobs?.token)).toEqual([98, 99, undefined]);
    const { tokens, reason, logprobs } = pieces.at(-1)!.finish!;
    expect({ tokens, reason }).toEqual({ tokens: [98, 99, 46], reason: "eos" });
    expect(logprobs!.map(({ token, top }) => [token, top[0]!.token])).toEqual([
      [98, 98],
      [99, 99],
      [46, 46],
    ]);
    const stopped = await collect(model.generate("a", { temperature: 0, logprobs: 0, stopSequences: ["c"] }));
    expect(stopped.logprobs!.map(({ token }) => token)).toEqual([98, 99]);
  });

  it.each([-1, 21, 1.5, Number.NaN])("with %d alternatives are refused by name", async (logprobs) => {
    const model = await tiny();
    for (const run of [collect(model.generate(PROMPT, { logprobs })), model.score([1, 2], logprobs)]) {
      expect(await refusal(run)).toMatchObject({ code: "invalid_argument", where: "logprobs" });
    }
    expectAllFree(model);
  });
});

describe("a prompt's score", () => {
  const TOKENS = Array.from(randomIntegers(12, 200, 300));

  it.each([2, 64, 65, 66, 129, 200])(
    "of %i tokens is the f64 log-softmax of the steps' logits",
    async (length) => {
      const model = await tiny();
      const tokens = TOKENS.slice(0, length);
      expectClose(await model.score(tokens, 5), await reference(model, tokens, 5), 1e-5);
      expectAllFree(model);
    },
  );

  it("agrees with what generating the tokens told", async () => {
    const model = await tiny();
    const prompt = await model.encode(PROMPT);
    const { tokens, logprobs } = await generated(model, PROMPT, {
      ...OPTIONS,
      maxTokens: 120,
      logprobs: 2,
    });
    const scores = await model.score(Uint32Array.from([...prompt, ...tokens]), 2);
    expectClose(scores.slice(prompt.length - 1), logprobs!, 1e-4);
  });

  it("of one token or none is empty", async () => {
    const model = await tiny();
    expect([await model.score([5]), await model.score([])]).toEqual([[], []]);
  });

  it("taken amid other streams' work disturbs none of it, nor it the score", async () => {
    const model = await tiny();
    const alone = await model.score(TOKENS, 3);
    const whole = await generated(model, TOKENS, { ...OPTIONS, logprobs: 3 });
    const before = model.gpu.bytes;
    const [one, other, among, loss] = await Promise.all([
      model.score(TOKENS, 3),
      model.score(TOKENS.slice(0, 150), 3),
      generated(model, TOKENS, { ...OPTIONS, logprobs: 3 }),
      model.evaluate(TOKENS, {}),
    ]);
    expect(one).toEqual(alone);
    expect(other).toEqual(alone.slice(0, 149));
    expect({ ...among, reusedTokens: whole.reusedTokens }).toEqual(whole);
    expect(-one.reduce((sum, { logprob }) => sum + logprob, 0) / one.length).toBeCloseTo(loss.loss, 5);
    expect(model.gpu.bytes).toBe(before);
    expectAllFree(model);
  });

  it("of a token that the model does not have is refused, the token named", async () => {
    const model = await tiny();
    for (const token of [300, -1, 1.5]) {
      const error = await refusal(model.score([1, token]));
      expect(error).toMatchObject({ code: "invalid_argument", option: "tokens" });
      expect(error.message).toContain(`token ${token} `);
    }
  });

  it("stops when it is told to, also between passes, and gives its slot back", async () => {
    const model = await tiny();
    await expect(model.score(TOKENS, 0, { signal: AbortSignal.abort("enough") })).rejects.toBe("enough");
    const controller = new AbortController();
    const scoring = model.score(TOKENS, 0, { signal: controller.signal });
    controller.abort("later");
    await expect(scoring).rejects.toBe("later");
    expectAllFree(model);
  });

  it("is refused where all slots are taken", async () => {
    const model = await tiny();
    const streams = Array.from({ length: 4 }, () => model.open());
    expect(await refusal(model.score(TOKENS))).toMatchObject({ code: "out_of_memory" });
    for (const stream of streams) stream.close();
  });

  it("of a model whose logits are not finite is an error of the model", async () => {
    const gpu = await testGpu();
    const model = await loadTiny(gpu, { slots: 1 });
    gpu.device.queue.writeBuffer(model.weights.head.buffer, 0, new Float32Array(64).fill(Number.NaN));
    expect(await refusal(model.score([1, 2, 3]))).toMatchObject({ code: "model" });
    expectAllFree(model);
  });
});
