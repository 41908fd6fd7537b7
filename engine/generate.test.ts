import { describe, expect, it } from "vitest";
import { NOT_FINITE } from "../kernels/sample/sample.ts";
import { randomIntegers, relativeError, testGpu } from "../test/gpu.ts";
import { generated, loadTiny, scriptedModelFiles } from "../test/models.ts";
import { refusal } from "../weights/testing/fixtures.ts";
import { collect, type GenerateOptions } from "./generate.ts";
import { MetricsMeter } from "./metrics.ts";
import { Model } from "./model.ts";
import type { Stream } from "./state/stream.ts";

let opened: Promise<Model> | undefined;
/** A small model with random weights, shared. */
const tiny = (): Promise<Model> => {
  opened ??= testGpu().then((gpu) => loadTiny(gpu));
  return opened;
};

const PROMPT = "the oscillators agree";
const OPTIONS = { seed: 3, temperature: 1, repetitionPenalty: 1.2, keepPending: true } as const;

/** Everything that was taken has been given back. */
function expectAllFree(model: Model): void {
  const { pool, snapshots } = model.runner;
  expect([pool.free, snapshots.free]).toEqual([pool.slots, snapshots.slots]);
}

describe("a seed", () => {
  it("gives the same text again, and another seed another", async () => {
    const model = await tiny();
    const options = { ...OPTIONS, maxTokens: 24 };
    const first = await generated(model, PROMPT, options);
    expect(await generated(model, PROMPT, options)).toEqual(first);
    expect((await generated(model, PROMPT, { ...options, seed: 4 })).tokens).not.toEqual(first.tokens);
    expect((await generated(model, PROMPT, { ...options, choice: 1 })).tokens).not.toEqual(first.tokens);
  });

  it("is drawn at random where none is given, and told", async () => {
    const model = await tiny();
    const { keepPending, repetitionPenalty, temperature } = OPTIONS;
    const options = { keepPending, repetitionPenalty, temperature, maxTokens: 24 };
    const [a, b] = [await generated(model, PROMPT, options), await generated(model, PROMPT, options)];
    expect(a.seed).not.toBe(b.seed);
    expect(await generated(model, PROMPT, { ...options, seed: a.seed })).toEqual(a);
  });

  it("draws the same tokens and leaves the same state however far decoding runs ahead", async () => {
    const model = await tiny();
    const options = { ...OPTIONS, maxTokens: 70, stopSequences: ["\u0001never"] };
    const waiting = await generated(model, PROMPT, { ...options, runAhead: 0 });
    expect(waiting.tokens).toHaveLength(70);
    expect(new Set(waiting.tokens).size).toBeGreaterThan(20);
    for (const runAhead of [1, 3, 8, 32]) {
      expect(await generated(model, PROMPT, { ...options, runAhead }), `run-ahead ${runAhead}`).toEqual(
        waiting,
      );
    }
    expectAllFree(model);
  });
});

describe("a reader who leaves", () => {
  it("after any of the first 12 tokens leaves the stream right after it", async () => {
    const model = await tiny();
    for (let count = 1; count <= 12; count++) {
      const whole = await generated(model, PROMPT, { ...OPTIONS, maxTokens: count });
      for (const runAhead of count % 2 ? [8, 3] : [8, 1]) {
        const stream = model.open();
        const tokens: number[] = [];
        for await (const piece of model.generate(PROMPT, { ...OPTIONS, maxTokens: 40, runAhead, stream })) {
          tokens.push(piece.token!);
          if (tokens.length === count) break;
        }
        expect(tokens).toEqual(whole.tokens);
        expect(await model.save(stream), `${count} tokens, run-ahead ${runAhead}`).toEqual(whole.saved);
        stream.close();
      }
    }
    expectAllFree(model);
  });

  it("by an exception of its own gets it, and the stream goes on as if it had asked for no more", async () => {
    const model = await tiny();
    const stream = model.open();
    const failing = async (): Promise<void> => {
      let seen = 0;
      for await (const _ of model.generate(PROMPT, { ...OPTIONS, maxTokens: 40, stream })) {
        if (++seen === 5) throw new Error("the reader's own");
      }
    };
    await expect(failing()).rejects.toThrow("the reader's own");
    const rest = await collect(model.generate("", { ...OPTIONS, maxTokens: 20, stream }));
    const whole = await generated(model, PROMPT, { ...OPTIONS, maxTokens: 25 });
    expect(rest.tokens).toEqual(whole.tokens.slice(5));
    expect(await model.save(stream)).toEqual(whole.saved);
    stream.close();
    expectAllFree(model);
  });
});

describe("an abort", () => {
  it("before the start leaves the stream as it was", async () => {
    const model = await tiny();
    const { stream, saved } = await begun(model);
    const run = model.generate("more", { ...OPTIONS, seed: 99, stream, signal: AbortSignal.abort("enough") });
    await expect(collect(run)).rejects.toBe("enough");
    expect(await model.save(stream)).toEqual(saved);
    stream.close();
    expectAllFree(model);
  });

  it("before the first token leaves the stream as it was", async () => {
    const model = await tiny();
    const { stream, saved } = await begun(model);
    const controller = new AbortController();
    const run = model.generate("more", { ...OPTIONS, seed: 99, stream, signal: controller.signal });
    const first = run.next();
    controller.abort("enough");
    await expect(first).rejects.toBe("enough");
    expect(await model.save(stream)).toEqual(saved);
    stream.close();
    expectAllFree(model);
  });

  it("between tokens leaves the stream right after the last one read", async () => {
    const model = await tiny();
    for (const count of [1, 2, 5, 9]) {
      const stream = model.open();
      const controller = new AbortController();
      const tokens: number[] = [];
      const options = { ...OPTIONS, maxTokens: 40, stream, signal: controller.signal };
      const reading = (async () => {
        for await (const piece of model.generate(PROMPT, options)) {
          tokens.push(piece.token!);
          if (tokens.length === count) controller.abort("enough");
        }
      })();
      await expect(reading).rejects.toBe("enough");
      const whole = await generated(model, PROMPT, { ...OPTIONS, maxTokens: count });
      expect(tokens).toEqual(whole.tokens);
      expect(await model.save(stream), `after ${count}`).toEqual(whole.saved);
      stream.close();
    }
    expectAllFree(model);
  });

  it("after the end changes nothing", async () => {
    const model = await tiny();
    const controller = new AbortController();
    const options = { ...OPTIONS, maxTokens: 6 };
    const stream = model.open();
    await collect(model.generate(PROMPT, { ...options, stream, signal: controller.signal }));
    controller.abort();
    expect(await model.save(stream)).toEqual((await generated(model, PROMPT, options)).saved);
    stream.close();
  });

  async function begun(model: Model): Promise<{ stream: Stream; saved: Uint8Array }> {
    const stream = model.open();
    await collect(model.generate(PROMPT, { ...OPTIONS, maxTokens: 5, stream }));
    return { stream, saved: await model.save(stream) };
  }
});

describe("text", () => {
  // Every byte is one token, and each is followed by the next; the emoji is four of them.
  const SCRIPT = "ab cd😀efg.hi";
  const SAID = SCRIPT.slice(1);
  const BYTES = new TextEncoder().encode(SCRIPT);
  const GREEDY = { temperature: 0, maxTokens: BYTES.length - 1 } as const;
  let script: Promise<Model> | undefined;
  const scripted = (): Promise<Model> => {
    script ??= testGpu().then((gpu) => Model.load(gpu, scriptedModelFiles(BYTES), { slots: 4 }));
    return script;
  };
  const pieces = async (options: GenerateOptions & { stream?: Stream }, prompt = "a"): Promise<string[]> => {
    const texts: string[] = [];
    for await (const { text } of (await scripted()).generate(prompt, { ...GREEDY, ...options }))
      texts.push(text);
    return texts;
  };

  it("comes token by token, and a character once its last byte is there", async () => {
    expect(await pieces({})).toEqual([..."b cd", "", "", "", "😀", ..."efg.hi", ""]);
  });

  it.each([
    ["of one token", ".", "b cd😀efg", 12],
    ["of several tokens", "efg", "b cd😀", 11],
    ["of one character of four tokens", "😀", "b cd", 8],
    ["that begins and ends beside such a character", "d😀e", "b c", 9],
    ["that is the whole text so far", "b cd", "", 4],
    ["at the very end", "hi", "b cd😀efg.", 14],
  ])("is cut at a stop string %s, and the stream stands right after it", async (_, stop, text, count) => {
    const model = await scripted();
    const options = { ...GREEDY, seed: 1, stopSequences: ["never", stop, "else"] };
    for (const runAhead of [0, 8]) {
      const stopped = await generated(model, "a", { ...options, runAhead });
      expect(stopped).toMatchObject({ text, reason: "stop", stop });
      expect(stopped.tokens).toEqual([...BYTES.subarray(1, count + 1)]);
      const exact = await generated(model, "a", { ...GREEDY, seed: 1, maxTokens: count });
      expect(stopped.saved).toEqual(exact.saved);
    }
    expectAllFree(model);
  });

  it("that might begin a stop string is held back, and released when it does not", async () => {
    expect(await pieces({ stopSequences: ["d😀x"] })).toEqual([
      ..."b c",
      ...["", "", "", "", ""],
      "d😀e",
      ..."fg.hi",
      "",
    ]);
    const cut = await pieces({ stopSequences: ["cd😀!"], maxTokens: 4 });
    expect(cut).toEqual(["b", " ", "", "", "cd"]);
  });

  it("cut within a character ends in U+FFFD", async () => {
    for (const maxTokens of [5, 6, 7]) expect((await pieces({ maxTokens })).join("")).toBe("b cd\ufffd");
  });

  it("kept pending comes with the continuation, whether of the stream or of its saved state", async () => {
    const model = await scripted();
    const held = { stopSequences: ["cd😀!"], keepPending: true };
    for (const maxTokens of [3, 4, 5, 7, 8]) {
      const stream = model.open();
      expect((await pieces({ ...held, maxTokens, stream })).join("")).toBe("b ");
      const restored = await model.restore(await model.save(stream));
      const rest = { ...held, maxTokens: GREEDY.maxTokens - maxTokens };
      for (const each of [stream, restored]) {
        expect((await pieces({ ...rest, stream: each }, "")).join("")).toBe(SAID.slice(2));
        each.close();
      }
    }
  });

  it("kept pending can still become the stop string it was held back for", async () => {
    const model = await scripted();
    const held = { stopSequences: ["cd😀e"], keepPending: true };
    const stream = model.open();
    expect((await pieces({ ...held, maxTokens: 6, stream })).join("")).toBe("b ");
    const rest = await collect(model.generate("", { ...GREEDY, ...held, stream }));
    expect(rest).toMatchObject({ text: "", reason: "stop", stop: "cd😀e" });
    expect(rest.tokens).toHaveLength(3);
    stream.close();
  });

  it("ends where the model ends it, and the stream stands after that token", async () => {
    const files = scriptedModelFiles(BYTES, { eos_token_id: ".".charCodeAt(0) });
    const model = await Model.load(await testGpu(), files, { slots: 1 });
    const stream = model.open();
    const ended = await collect(model.generate("a", { ...GREEDY, stopSequences: ["fg.hi!"], stream }));
    expect(ended).toMatchObject({ text: "b cd😀efg", reason: "eos", stop: undefined });
    expect(ended.tokens).toEqual([...BYTES.subarray(1, 13)]);
    expect(stream).toMatchObject({ position: 12, pending: ".".charCodeAt(0) });
    const more = await collect(model.generate("", { ...GREEDY, maxTokens: 2, stream }));
    expect(more.text).toBe("hi");
    stream.close();
  });

  it("of no prompt is what follows the beginning of a text, where the model has a token for that", async () => {
    const files = scriptedModelFiles(BYTES, { bos_token_id: "a".charCodeAt(0) });
    const model = await Model.load(await testGpu(), files, { slots: 1 });
    expect((await collect(model.generate("", GREEDY))).text).toBe(SAID);
  });
});

describe("a sampler's option", () => {
  /** The most likely tokens, from logits read back. */
  async function argmaxes(model: Model, count: number): Promise<number[]> {
    const { runner, config } = model;
    const slot = runner.pool.take();
    runner.pool.clear(slot);
    const tokens = await model.encode(PROMPT);
    const fed = tokens.length;
    const pass = runner.pass(slot, 0, tokens, fed);
    let logits = await pass.readFloats("logits", (fed - 1) * config.vocabulary, config.vocabulary);
    const out: number[] = [];
    for (let i = 0; i < count; i++) {
      const best = logits.indexOf(Math.max(...logits));
      out.push(best);
      logits = await runner.step(slot, fed + i, best).readFloats("logits", 0, config.vocabulary);
    }
    runner.pool.give(slot);
    return out;
  }

  it("of temperature 0, top-k 1 or a tiny top-p is argmax", async () => {
    const model = await tiny();
    const greedy = await argmaxes(model, 16);
    const base = { maxTokens: 16, seed: 5 };
    for (const options of [
      { temperature: 0 },
      { temperature: 2, topK: 1 },
      { temperature: 2, topK: 0, topP: 1e-6 },
    ]) {
      const { tokens } = await generated(model, PROMPT, { ...base, ...options });
      expect(tokens, JSON.stringify(options)).toEqual(greedy);
    }
  });

  it("reaches it: temperature, top-k, top-p, penalty and phase temperature each change the text", async () => {
    const model = await tiny();
    const base = { maxTokens: 24, seed: 5, temperature: 1, topK: 0, topP: 1 };
    const plain = await generated(model, PROMPT, base);
    for (const change of [
      { temperature: 0.3 },
      { topK: 5 },
      { topP: 0.3 },
      { repetitionPenalty: 2 },
      { phaseTemperature: 3 },
    ]) {
      const changed = await generated(model, PROMPT, { ...base, ...change });
      expect(changed.tokens, JSON.stringify(change)).not.toEqual(plain.tokens);
      expect(await generated(model, PROMPT, { ...base, ...change, runAhead: 0 })).toEqual(changed);
    }
  });

  it.each([
    ["maxTokens", [0, 1.5, -1, Number.NaN]],
    ["temperature", [-0.1, 2.1, Number.NaN]],
    ["topK", [-1, 2.5, 2 ** 31 + 1]],
    ["topP", [-0.1, 1.1]],
    ["repetitionPenalty", [0.9, 2.1]],
    ["phaseTemperature", [-1, Number.POSITIVE_INFINITY]],
    ["seed", [-1, 0.5, 2 ** 53]],
    ["choice", [-1, 0.5, 2 ** 32]],
    ["runAhead", [-1, 1.5, 1025]],
  ])("%s out of its range is refused by name", async (field, values) => {
    const model = await tiny();
    for (const value of values) {
      const error = await refusal(collect(model.generate(PROMPT, { [field]: value })));
      expect(error, `${field} ${value}`).toMatchObject({ code: "invalid_argument", where: field });
    }
    expectAllFree(model);
  });

  it("stopSequences that is empty text is refused by name", async () => {
    const error = await refusal(collect((await tiny()).generate(PROMPT, { stopSequences: ["a", ""] })));
    expect(error).toMatchObject({ code: "invalid_argument", option: "stopSequences[1]" });
  });
});

describe("a prompt", () => {
  it("of any length leaves the stream as token by token would", async () => {
    const model = await tiny();
    const { runner } = model;
    const tokens = Array.from(randomIntegers(8, 1100, 256));
    const options = { ...OPTIONS, maxTokens: 8 };
    const slow = model.open();
    for (const length of [1, 2, 63, 64, 65, 512, 513, 1100]) {
      for (; slow.position < length - 1; slow.position++) {
        runner.step(slow.slot, slow.position, tokens[slow.position]!);
      }
      const [stepped, whole] = [slow.fork(), model.open()];
      stepped.pending = tokens[length - 1]!;
      const a = await collect(model.generate([], { ...options, stream: stepped }));
      const b = await collect(model.generate(tokens.slice(0, length), { ...options, stream: whole }));
      expect(b.tokens, `${length} tokens`).toEqual(a.tokens);
      expect(whole.position).toBe(stepped.position);
      const [x, y] = [await runner.pool.read(stepped.slot), await runner.pool.read(whole.slot)];
      expect(relativeError(y.state, x.state), `${length} tokens`).toBeLessThan(1e-5);
      expect(y.counts).toEqual(x.counts);
      for (const each of [stepped, whole]) each.close();
    }
    slow.close();
    expectAllFree(model);
  });

  it.each([64, 128, 192])("fed in two calls cut at %i leaves the very same state", async (cut) => {
    const { runner } = await tiny();
    const tokens = Array.from(randomIntegers(9, 230, 256));
    const settings = {
      sampling: {
        temperature: 0,
        topK: 0,
        topP: 1,
        repetitionPenalty: 1,
        phaseTemperature: 0,
        seed: 0,
        choice: 0,
      },
      measure: false,
    };
    const slots = [runner.pool.take(), runner.pool.take()] as const;
    for (const slot of slots) runner.pool.clear(slot);
    const [once] = await runner.prompt(slots[0], 0, tokens, settings).results;
    await runner.prompt(slots[1], 0, tokens.slice(0, cut), settings).results;
    const [twice] = await runner.prompt(slots[1], cut, tokens.slice(cut), settings).results;
    expect(twice!.token).toBe(once!.token);
    expect(await runner.pool.read(slots[1])).toEqual(await runner.pool.read(slots[0]));
    for (const slot of slots) runner.pool.give(slot);
  });

  it("that is empty, with nothing to continue, is refused by name", async () => {
    const model = await tiny();
    for (const prompt of ["", []]) {
      const error = await refusal(collect(model.generate(prompt)));
      expect(error).toMatchObject({ code: "invalid_argument", where: "prompt" });
    }
    expectAllFree(model);
  });

  it("with a token that the model does not have is refused, the token named", async () => {
    const model = await tiny();
    for (const token of [300, -1, 1.5]) {
      const error = await refusal(collect(model.generate([1, token])));
      expect(error).toMatchObject({ code: "invalid_argument", where: "prompt" });
      expect(error.message).toContain(`token ${token} `);
    }
  });
});

describe("streams", () => {
  it("that take turns each say what they would say alone", async () => {
    const model = await tiny();
    const prompts = ["one", "another", "a third of them"];
    const options = { ...OPTIONS, maxTokens: 20 };
    const alone = [];
    for (const prompt of prompts) alone.push((await generated(model, prompt, options)).tokens);
    const runs = prompts.map((prompt) => model.generate(prompt, options));
    const together: number[][] = prompts.map(() => []);
    for (let turn = 0; turn < 20; turn++) {
      for (const [i, run] of runs.entries()) together[i]!.push((await run.next()).value!.token!);
    }
    expect(together).toEqual(alone);
    for (const run of runs) await run.return();
    expectAllFree(model);
  });

  it("beyond the model's slots are refused, and a closed one makes room", async () => {
    const model = await loadTiny(await testGpu(), { slots: 2 });
    const [first, second] = [model.open(), model.open()];
    expect(() => model.open()).toThrow(expect.objectContaining({ code: "out_of_memory" }));
    first.close();
    first.close();
    const third = model.open();
    expect(() => model.open()).toThrow(expect.objectContaining({ code: "out_of_memory" }));
    for (const each of [second, third]) each.close();
  });

  it("whose state holds a NaN end in an error of the model, and give back what they took", async () => {
    const model = await tiny();
    const { pool } = model.runner;
    const stream = model.open();
    const { state, counts } = await pool.read(stream.slot);
    pool.write(stream.slot, new Float32Array(state.length).fill(Number.NaN), new Uint32Array(counts), 0);
    for (const runAhead of [0, 8]) {
      const error = await refusal(collect(model.generate(PROMPT, { stream, maxTokens: 10, runAhead })));
      expect(error.code).toBe("model");
    }
    stream.close();
    expectAllFree(model);
    expect((await generated(model, PROMPT, { maxTokens: 3 })).tokens).not.toContain(NOT_FINITE);
  });
});

describe("metrics", () => {
  const OPTIONS = { seed: 4, temperature: 1, maxTokens: 10, metrics: true };

  it("are the means over blocks and generated tokens of what feeding those measured", async () => {
    const model = await tiny();
    const { runner, weights } = model;
    const layers = weights.blocks.length;
    const { tokens, phase, memory } = await collect(model.generate(PROMPT, OPTIONS));
    const prompt = await model.encode(PROMPT);
    const slot = runner.pool.take();
    runner.pool.clear(slot);
    runner.pass(slot, 0, prompt, prompt.length);
    const rows: Float32Array[] = [];
    for (const [i, token] of tokens.entries()) {
      const outputs = runner.step(slot, prompt.length + i, token, true);
      rows.push(await outputs.readFloats("metrics", 0, layers * 4));
    }
    runner.pool.give(slot);
    const mean = (values: Float32Array[], which: number): number => {
      const column = values.flatMap((row) => Array.from(row).filter((_, i) => i % 4 === which));
      return column.reduce((sum, value) => sum + value, 0) / column.length;
    };
    expect(rows).toHaveLength(OPTIONS.maxTokens);
    expect(phase!.phaseCoherence).toBeCloseTo(mean(rows, 0), 5);
    expect(memory!.plmCoherence).toBeCloseTo(mean(rows, 1), 5);
    expect(memory!.pvmGateStrength).toBeCloseTo(mean(rows, 2), 5);
    expect(memory!.pvmMemoryNorm).toBeCloseTo(mean(rows.slice(-1), 3), 5);
    for (const value of [phase!.phaseCoherence, memory!.plmCoherence, memory!.pvmGateStrength]) {
      expect(value).toBeGreaterThan(0.01);
      expect(value).toBeLessThan(1);
    }
    expect(phase!.omegaValues).toEqual([6, 6.1, 6.2]);
    expect(phase!.phaseOffsets).toEqual([0, 0.1, 0.2]);
    expect(phase!.gammaMean).toBeCloseTo(
      weights.blocks.reduce((sum, { constants }) => sum + constants.gamma, 0) / layers,
      12,
    );
    // Three layers of two conv rows and two memories, 64 f32 numbers each.
    expect(memory!.memoryBytes).toBe(3 * (2 + 2) * 64 * 4);
  });

  it("do not change the text, and are left out where nobody asks", async () => {
    const model = await tiny();
    const measured = await collect(model.generate(PROMPT, OPTIONS));
    const plain = await collect(model.generate(PROMPT, { ...OPTIONS, metrics: false }));
    expect(plain.tokens).toEqual(measured.tokens);
    expect(plain).toMatchObject({ phase: undefined, memory: undefined });
  });

  it("leave the stream as it would be without them", async () => {
    const model = await tiny();
    const [measured, plain] = [model.open(), model.open()];
    await collect(model.generate(PROMPT, { ...OPTIONS, stream: measured }));
    await collect(model.generate(PROMPT, { ...OPTIONS, stream: plain, metrics: false }));
    expect(await model.save(measured)).toEqual(await model.save(plain));
    measured.close();
    plain.close();
  });

  it("differ from one prompt to another", async () => {
    const model = await tiny();
    const one = await collect(model.generate("some words", OPTIONS));
    const other = await collect(model.generate("others, and more of them", OPTIONS));
    expect(one.phase!.phaseCoherence).not.toBe(other.phase!.phaseCoherence);
    for (const field of ["pvmMemoryNorm", "pvmGateStrength", "plmCoherence"] as const) {
      expect(one.memory![field], field).not.toBe(other.memory![field]);
    }
  });

  it("of a feature the model lacks, or of nothing generated, are null", async () => {
    const { weights } = await tiny();
    const step = { token: 1, measures: new Float32Array(12).fill(0.5) };
    const shape = { ...weights.shape, pvm: false, lattice: undefined };
    const without = new MetricsMeter({ ...weights, shape });
    without.add(step);
    expect(without.phase().phaseCoherence).toBeNull();
    const nulls = { pvmMemoryNorm: null, pvmGateStrength: null, plmCoherence: null, memoryBytes: 1024 };
    expect(without.memory(1024)).toEqual(nulls);
    const silent = new MetricsMeter(weights);
    expect(silent.phase().phaseCoherence).toBeNull();
    expect(silent.memory(1024)).toEqual(nulls);
    silent.add(step);
    expect(silent.phase().phaseCoherence).toBe(0.5);
    expect(silent.memory(1024).plmCoherence).toBe(0.5);
  });
});
