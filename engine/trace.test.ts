import { describe, expect, it } from "vitest";
import { relativeError, testGpu } from "../test/gpu.ts";
import { generated, loadTiny } from "../test/models.ts";
import { orderParameter } from "./diagnostics/coherence.ts";
import type { GenerateOptions, Trace } from "./generate.ts";
import type { Model } from "./model.ts";
import type { Stream } from "./state/stream.ts";

const PROMPT = "the oscillators agree, and go on agreeing";
const OPTIONS = { seed: 5, temperature: 1, maxTokens: 20, keepPending: true } as const;

let opened: Promise<Model> | undefined;
const tiny = (): Promise<Model> => {
  opened ??= testGpu().then((gpu) => loadTiny(gpu, { prefixBytes: 0 }));
  return opened;
};

async function traced(model: Model, stream: Stream, prompt: string, options: GenerateOptions = {}) {
  const [traces, tokens]: [Trace[], number[]] = [[], []];
  for await (const { trace, token } of model.generate(prompt, {
    ...OPTIONS,
    ...options,
    stream,
    trace: true,
  })) {
    if (trace) traces.push(trace);
    if (token !== undefined) tokens.push(token);
  }
  return { traces, tokens };
}

/** Prompt measures as they are told: each position's `[layers, 4]`. */
function listener(layers: number) {
  const told = new Map<number, Float32Array>();
  const onPrompt = (position: number, measures: Float32Array): void => {
    for (let row = 0; row < measures.length / (4 * layers); row++) {
      expect(told.has(position + row)).toBe(false);
      told.set(position + row, measures.slice(4 * layers * row, 4 * layers * (row + 1)));
    }
  };
  return { told, onPrompt };
}

describe("a trace", () => {
  it("tells the state that the stream has when it stops there, and changes no token", async () => {
    const model = await tiny();
    const { tokens } = await generated(model, PROMPT, OPTIONS);
    const all = model.open();
    const whole = await traced(model, all, PROMPT);
    all.close();
    expect(whole.tokens).toEqual(tokens);
    expect(whole.traces).toHaveLength(tokens.length);
    const length = (await model.encode(PROMPT)).length;
    for (const count of [1, 2, 7, 20]) {
      const stream = model.open();
      await traced(model, stream, PROMPT, { maxTokens: count });
      const { position, state } = whole.traces[count - 1]!;
      expect([position, position]).toEqual([stream.position, length + count - 1]);
      expect(state).toEqual((await model.runner.pool.read(stream.slot)).state);
      stream.close();
    }
  });

  it("tells measures that agree with the state", async () => {
    const model = await tiny();
    const stream = model.open();
    const { traces } = await traced(model, stream, PROMPT);
    stream.close();
    const { size, taps } = model.weights.shape;
    const rows = model.runner.pool.stateBytes / 4 / size / model.weights.blocks.length;
    const m = Math.max(0, taps - 1) * size;
    for (const { measures, state } of traces) {
      for (let layer = 0; layer < model.weights.blocks.length; layer++) {
        const memory = state.subarray(layer * rows * size + m, layer * rows * size + m + size);
        expect(measures[4 * layer]).toBeCloseTo(orderParameter(memory), 5);
      }
    }
  });

  it("tells each prompt token's measures once, as token by token, however the prompt is cut", async () => {
    const model = await tiny();
    const layers = model.weights.blocks.length;
    const long = PROMPT.repeat(20);
    const tokens = await model.encode(long);
    expect(tokens.length).toBeGreaterThan(model.runner.promptRows);
    const { told, onPrompt } = listener(layers);
    const stream = model.open();
    const { traces } = await traced(model, stream, long, { onPrompt, maxTokens: 1 });
    stream.close();
    expect([...told.keys()].sort((a, b) => a - b)).toEqual(tokens.slice(1).map((_, i) => i));
    told.set(tokens.length - 1, traces[0]!.measures);

    const slow = model.open();
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
      measure: true,
    };
    for (const [position, token] of tokens.slice(0, 70).entries()) {
      const [step] = await model.runner.prompt(slow.slot, position, [token], settings).results;
      expect(relativeError(told.get(position)!, step!.measures!)).toBeLessThan(1e-4);
    }
    slow.close();
  });

  it("of streams that share steps tells each its own", async () => {
    const model = await tiny();
    const alone = [];
    for (const prompt of [PROMPT, "another text"]) {
      const stream = model.open();
      alone.push(await traced(model, stream, prompt));
      stream.close();
    }
    const streams = [model.open(), model.open()];
    const [first, , second] = await Promise.all([
      traced(model, streams[0]!, PROMPT),
      generated(model, "one without", OPTIONS),
      traced(model, streams[1]!, "another text"),
    ]);
    for (const stream of streams) stream.close();
    expect([first, second]).toEqual(alone);
  });

  it("makes no buffer when another has been told before", async () => {
    const model = await tiny();
    const run = async (): Promise<number> => {
      const stream = model.open();
      await traced(model, stream, PROMPT, { maxTokens: 70 });
      stream.close();
      return model.gpu.bytes;
    };
    const before = await run();
    expect(await run()).toBe(before);
  });
});
