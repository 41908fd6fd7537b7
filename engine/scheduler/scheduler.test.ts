import { afterEach, describe, expect, it, vi } from "vitest";
import { CHUNK } from "../../kernels/memory-scan/memory-scan.ts";
import { firstDifference, mulberry32, randomFloats, randomIntegers, testGpu } from "../../test/gpu.ts";
import { goldenModelFiles, loadTiny } from "../../test/models.ts";
import { refusal } from "../../weights/testing/fixtures.ts";
import { loadBase } from "../alignment/testing/base-model.ts";
import { collect, type GenerateOptions } from "../generate.ts";
import { type LoadOptions, Model } from "../model.ts";
import type { DecodedStep, RunSettings } from "../runner/decode-run.ts";

const gpu = await testGpu();
afterEach(() => vi.restoreAllMocks());

const MODELS: [name: string, load: (options: LoadOptions) => Promise<Model>][] = [
  ["a native model", (options) => loadTiny(gpu, options)],
  [
    "a native model of odd sizes",
    async (options) => Model.load(gpu, await goldenModelFiles("native_noconv_odd_vocab"), options),
  ],
  ["a native model in q4", (options) => loadTiny(gpu, { ...options, format: "q4" })],
  ["a base model with adapters", (options) => loadBase({ ...options, attention: "on" })],
  ["a base model with adapters after layers", (options) => loadBase({ ...options, placement: "layers" })],
  ["a base model without attention", (options) => loadBase({ ...options, attention: "bypass" })],
];

/** Prompts of many lengths, some of a single token. */
const promptOf = (model: Model, stream: number): number[] =>
  Array.from(randomIntegers(stream + 1, 1 + ((stream * 37) % 150), model.config.vocabulary));

const settingsOf = (stream: number): RunSettings => ({
  sampling: {
    temperature: stream % 5 === 0 ? 0 : 0.7 + stream / 30,
    topK: (stream % 4) * 10,
    topP: 1 - (stream % 3) / 10,
    repetitionPenalty: 1 + (stream % 2) / 5,
    phaseTemperature: stream % 7 === 3 ? 1 : 0,
    seed: 1000 + stream,
    choice: stream % 2,
  },
  measure: stream % 7 === 3,
  logprobs: stream % 3 === 1 ? 2 : undefined,
});

interface Found {
  readonly steps: DecodedStep[];
  readonly logits: Float32Array;
}

/** Feeds `streams` their prompts, runs steps of all at once, and gives the steps and the last one's logits. */
async function stepsOf(model: Model, streams: readonly number[], slots: readonly number[]): Promise<Found[]> {
  const { runner, config } = model;
  const { vocabulary } = config;
  runner.pool.clear(0, runner.pool.slots);
  const { logits } = runner.stepActivations;
  gpu.device.queue.writeBuffer(logits, 0, new Float32Array(streams.length * vocabulary).fill(Number.NaN));
  const rows = streams.map((stream, i) => {
    const [slot, prompt, settings] = [slots[i]!, promptOf(model, stream), settingsOf(stream)];
    runner.prompt(slot, 0, prompt, settings);
    return { slot, position: prompt.length, settings };
  });
  const runs = [...runner.batch(rows, 3)];
  const last = runner.batch(
    rows.map((row) => ({ ...row, position: row.position + 3 })),
    2,
  );
  const values = await gpu.readFloats(logits, 0, streams.length * vocabulary);
  return Promise.all(
    streams.map(async (_, i) => ({
      steps: [...(await runs[i]!.results), ...(await last[i]!.results)],
      logits: values.slice(i * vocabulary, (i + 1) * vocabulary),
    })),
  );
}

describe.each(MODELS)("%s", (_, load) => {
  it("gives a stream the same logits, tokens and measures, bit for bit, alone, among 3 and among 32", async () => {
    const model = await load({ slots: 33, promptRows: 64 });
    const watched = [0, 13, 31];
    const alone: Found[] = [];
    for (const stream of watched) alone.push(...(await stepsOf(model, [stream], [5])));
    expect(new Set(alone.flatMap(({ steps }) => steps.map(({ token }) => token))).size).toBeGreaterThan(3);
    const among: readonly number[][] = [watched, Array.from({ length: 32 }, (_, stream) => stream)];
    for (const streams of among) {
      // Slots in no order, one of them nobody's.
      const found = await stepsOf(
        model,
        streams,
        streams.map((stream) => (stream * 20 + 7) % 33),
      );
      for (const [i, stream] of watched.entries()) {
        const { steps, logits } = found[streams.indexOf(stream)]!;
        expect(logits.every(Number.isFinite)).toBe(true);
        expect(steps, `stream ${stream} of ${streams.length}`).toEqual(alone[i]!.steps);
        expect(firstDifference(logits, alone[i]!.logits), `stream ${stream} of ${streams.length}`).toBe(-1);
      }
    }
  });

  it("gives the same logits and state, bit for bit, wherever the scan's chunks let a prompt be cut", async () => {
    const model = await load({ slots: 2, promptRows: 512 });
    const { runner, config } = model;
    const prompt = Array.from(randomIntegers(5, 4 * CHUNK + 1, config.vocabulary));
    const settings = settingsOf(1);
    const fed = async (cuts: readonly number[]) => {
      runner.pool.clear(1);
      let from = 0;
      for (const cut of cuts) {
        runner.feed(1, from, prompt.slice(from, cut));
        from = cut;
      }
      const run = runner.prompt(1, from, prompt.slice(from), settings);
      const logits = await gpu.readFloats(runner.stepActivations.logits, 0, config.vocabulary);
      return { logits, steps: await run.results, state: await runner.pool.read(1) };
    };
    const whole = await fed([]);
    const all = [CHUNK, 2 * CHUNK, 3 * CHUNK, 4 * CHUNK];
    for (const cuts of [...all.map((cut) => [cut]), all, [CHUNK, 3 * CHUNK]]) {
      const cut = await fed(cuts);
      expect(cut.steps, `cut at ${cuts}`).toEqual(whole.steps);
      expect(firstDifference(cut.logits, whole.logits), `cut at ${cuts}`).toBe(-1);
      expect(cut.state, `cut at ${cuts}`).toEqual(whole.state);
    }
  });
});

let opened: Promise<Model> | undefined;
/** A small model with random weights and an alignment, whose prompts take several chunks. */
const tiny = (): Promise<Model> => {
  opened ??= loadTiny(gpu, { slots: 32, promptRows: 128, tiledDecodeFrom: 6 }).then((model) => {
    const weights = randomFloats(1, model.weights.shape.size ** 2);
    model.align({ weights, lambda: 1, tokens: 100, residual: 0.5 });
    return model;
  });
  return opened;
};

/** Everything that was taken has been given back. */
function expectAllFree(model: Model): void {
  const { pool, snapshots } = model.runner;
  expect([pool.free, snapshots.free]).toEqual([pool.slots, snapshots.slots]);
}

/** Requests of every kind. */
const requestOf = (model: Model, i: number): [prompt: number[], options: GenerateOptions] => [
  promptOf(model, i * 3),
  {
    seed: 50 + i,
    temperature: 0.8 + (i % 4) / 5,
    maxTokens: 5 + ((i * 13) % 60),
    repetitionPenalty: 1 + (i % 3) / 10,
    runAhead: [8, 8, 3, 16][i % 4]!,
    client: i % 3,
    metrics: i % 5 === 2,
    phaseTemperature: i % 8 === 5 ? 0.5 : 0,
    ...(i % 4 === 1 ? { logprobs: 3 } : {}),
    ...(i % 6 === 4 ? { readoutScale: 0.5 } : {}),
  },
];

/** How it ended, but for what was fed for others before. */
async function request(model: Model, i: number) {
  const { reusedTokens: _, ...finish } = await collect(model.generate(...requestOf(model, i)));
  return finish;
}

const tasks = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setTimeout(resolve, 0));
};

describe("32 requests", () => {
  const all = Array.from({ length: 32 }, (_, i) => i);
  let known: Promise<unknown[]> | undefined;
  const alone = (model: Model): Promise<unknown[]> => {
    known ??= (async () => {
      const found: unknown[] = [];
      for (const i of all) found.push(await request(model, i));
      return found;
    })();
    return known;
  };

  it("at once each end as they do alone, with the measures and the log-probabilities of their own", async () => {
    const model = await tiny();
    const expected = await alone(model);
    const batches = vi.spyOn(model.runner, "batch");
    expect(await Promise.all(all.map((i) => request(model, i)))).toEqual(expected);
    expect(Math.max(...batches.mock.calls.map(([streams]) => streams.length))).toBeGreaterThan(16);
    expectAllFree(model);
  });

  it.each([1, 2, 3])(
    "that come at any time, and of which a third leaves at any time, each end as they do alone: %i",
    async (seed) => {
      const model = await tiny();
      const expected = await alone(model);
      const random = mulberry32(seed);
      const order = all.map((i) => [random(), i] as const).sort(([a], [b]) => a - b);
      const found = await Promise.all(
        order.map(async ([, i], turn) => {
          const [later, whole, by, aborts] = [random() * 40, turn % 3 > 0, random() * 30, random() < 0.5];
          await tasks(later);
          if (whole) {
            expect(await request(model, i), `request ${i}`).toEqual(expected[i]);
            return 1;
          }
          const controller = new AbortController();
          const [prompt, options] = requestOf(model, i);
          let count = 0;
          const reading = (async () => {
            for await (const _ of model.generate(prompt, { ...options, signal: controller.signal })) {
              if (!aborts && count++ >= by) break;
            }
          })();
          if (aborts) {
            reading.catch(() => {});
            await tasks(by);
            controller.abort(new Error("gone"));
            await reading.catch((error: Error) => expect(error.message).toBe("gone"));
          }
          await reading.catch(() => {});
          return 0;
        }),
      );
      expect(found.filter(Boolean)).toHaveLength(21);
      expectAllFree(model);
      expect(model.scheduler.size).toBe(0);
    },
  );
});

describe("a stream", () => {
  const settings = { ...settingsOf(2), runAhead: 8 };
  const OPTIONS = { seed: 3, temperature: 1, repetitionPenalty: 1.2, keepPending: true } as const;

  it("that leaves among others stands right after its last token, and goes on from there", async () => {
    const model = await tiny();
    const whole = await collect(model.generate("one of many", { ...OPTIONS, maxTokens: 40 }));
    const others = [1, 2, 3].map((i) => request(model, i));
    for (const count of [1, 2, 7, 20]) {
      const stream = model.open();
      const tokens: number[] = [];
      for await (const piece of model.generate("one of many", { ...OPTIONS, maxTokens: 40, stream })) {
        if (piece.token !== undefined) tokens.push(piece.token);
        if (tokens.length === count) break;
      }
      const rest = await collect(model.generate([], { ...OPTIONS, maxTokens: 40 - count, stream }));
      expect([...tokens, ...rest.tokens], `left after ${count}`).toEqual(whole.tokens);
      stream.close();
    }
    await Promise.all(others);
    expectAllFree(model);
  });

  it("whose reader does not read holds up nobody, and misses nothing", async () => {
    const model = await tiny();
    const expected = await request(model, 7);
    const slow = model.generate(...requestOf(model, 7));
    const tokens: number[] = [(await slow.next()).value!.token!];
    await Promise.all([3, 4].map((i) => request(model, i)));
    for await (const { token } of slow) if (token !== undefined) tokens.push(token);
    expect(tokens).toEqual(expected.tokens);
    expectAllFree(model);
  });

  it("that is refused at its joining leaves the others alone", async () => {
    const model = await loadTiny(gpu, { slots: 2 });
    const expected = await collect(model.generate("no votes", OPTIONS));
    const stream = model.open();
    const both = collect(model.generate("no votes", OPTIONS));
    const decoding = model.scheduler.decode(stream, [1], { ...settings, maxTokens: 3, readoutScale: 1 });
    expect(await refusal(decoding.next())).toMatchObject({ where: "readoutScale" });
    const nothing = model.scheduler.decode(stream, [], { ...settings, maxTokens: 3 });
    expect(await refusal(nothing.next())).toMatchObject({ where: "prompt" });
    expect(await both).toEqual(expected);
    stream.close();
    expectAllFree(model);
  });

  it("that is broken fails alone", async () => {
    const model = await tiny();
    const expected = await request(model, 9);
    const stream = model.open();
    const { state, counts } = await model.runner.pool.read(stream.slot);
    model.runner.pool.write(
      stream.slot,
      new Float32Array(state.length).fill(Number.NaN),
      new Uint32Array(counts),
      0,
    );
    const broken = refusal(collect(model.generate("broken", { stream, maxTokens: 10 })));
    expect(await request(model, 9)).toEqual(expected);
    expect((await broken).code).toBe("model");
    stream.close();
    expectAllFree(model);
  });

  it("that decodes waits for no more than one turn's rows of another's prompt", async () => {
    const model = await tiny();
    const { runner } = model;
    const turns = [0]; // rows of prompts between two runs of steps
    const [feed, batch] = [runner.feed.bind(runner), runner.batch.bind(runner)];
    vi.spyOn(runner, "feed").mockImplementation((...args) => {
      turns[turns.length - 1]! += args[2].length;
      feed(...args);
    });
    vi.spyOn(runner, "batch").mockImplementation((...args) => {
      turns.push(0);
      return batch(...args);
    });
    const long = Array.from(randomIntegers(3, 20 * 128, model.config.vocabulary));
    const [first, second] = [model.open(), model.open()];
    const decoding = (async () => {
      let count = 0;
      for await (const _ of model.scheduler.decode(first, [1, 2, 3], { ...settings, maxTokens: 400 }))
        count++;
      return count;
    })();
    await tasks(5);
    for await (const _ of model.scheduler.decode(second, long, { ...settings, maxTokens: 1 }));
    expect(turns.filter((rows) => rows > 0).length).toBeGreaterThan(18);
    expect(Math.max(...turns)).toBeLessThanOrEqual(runner.promptRows);
    expect(await decoding).toBe(400);
    for (const stream of [first, second]) stream.close();
    expectAllFree(model);
  });
});

describe("a prompt that begins as another of its client's did", () => {
  const OPTIONS = { seed: 9, temperature: 1, maxTokens: 12, repetitionPenalty: 1.2 } as const;
  const random = (seed: number, length: number): number[] => Array.from(randomIntegers(seed, length, 260));
  const beginning = random(1, 700);
  const withEnd = (seed: number, length: number): number[] => [...beginning, ...random(seed, length)];

  /** Tokens that are fed from now on, and the streams of which the last part of a prompt was fed, together. */
  function watch({ runner }: Model, onFeed = (): void => {}) {
    const seen = { fed: 0, together: [] as number[] };
    const [feed, prompts] = [runner.feed.bind(runner), runner.prompts.bind(runner)];
    vi.spyOn(runner, "feed").mockImplementation((...args) => {
      seen.fed += args[2].length;
      feed(...args);
      onFeed();
    });
    vi.spyOn(runner, "prompts").mockImplementation((...args) => {
      seen.fed += args[2].length;
      seen.together.push(args[0].length);
      return prompts(...args);
    });
    return seen;
  }

  it("is fed from there on, and gives what it gives without", async () => {
    const model = await loadTiny(gpu, { slots: 2 });
    const plain = await loadTiny(gpu, { slots: 2, prefixBytes: 0 });
    const prompts = [
      withEnd(2, 30),
      withEnd(3, 30),
      withEnd(3, 30),
      withEnd(4, 200),
      beginning.slice(0, 400),
    ];
    const reused: number[] = [];
    for (const prompt of prompts) {
      const seen = watch(model);
      const { reusedTokens, ...found } = await collect(model.generate(prompt, OPTIONS));
      const { reusedTokens: none, ...expected } = await collect(plain.generate(prompt, OPTIONS));
      expect(found).toEqual(expected);
      expect(none).toBe(0);
      expect(seen.fed).toBe(prompt.length - reusedTokens);
      reused.push(reusedTokens);
      vi.restoreAllMocks();
    }
    // The first keeps its first 192, 448, 576, 640 and 704 tokens; 700 are the second's, too, and 704 the third's.
    expect(reused).toEqual([0, 640, 704, 640, 192]);
    expectAllFree(model);
  });

  it("is fed from where the two before it parted", async () => {
    const model = await loadTiny(gpu, { slots: 2 });
    const reused: number[] = [];
    for (const seed of [2, 3, 4]) {
      const { reusedTokens } = await collect(model.generate(withEnd(seed, 600), OPTIONS));
      reused.push(reusedTokens);
    }
    const parted = Math.floor(beginning.length / CHUNK) * CHUNK;
    expect(reused[1]).toBeLessThan(parted);
    expect(reused[2]).toBe(parted);
  });

  it("is fed from its start for another client, and under attention for everyone", async () => {
    const native = await loadTiny(gpu, { slots: 2 });
    const attending = await loadBase({ slots: 2, attention: "on" });
    const reused = async (on: Model, client: string): Promise<number> => {
      const stream = on.open();
      const onReuse = vi.fn();
      const options = { ...settingsOf(2), runAhead: 8, maxTokens: 2, client, onReuse };
      const prompt = beginning.slice(0, 100).map((token) => token % on.config.vocabulary);
      for await (const _ of on.scheduler.decode(stream, prompt, options));
      stream.close();
      expect(onReuse).toHaveBeenCalledOnce();
      return onReuse.mock.lastCall![0];
    };
    const clients = ["me", "you", "me"];
    for (const [model, expected] of [
      [native, [0, 0, CHUNK]],
      [attending, [0, 0, 0]],
    ] as const) {
      const found: number[] = [];
      for (const client of clients) found.push(await reused(model, client));
      expect(found).toEqual(expected);
    }
  });

  it("is fed from its start where that was given up for others", async () => {
    const model = await loadTiny(gpu, { slots: 2, prefixBytes: 30_000 });
    const { rows } = model.scheduler.prefixes!;
    expect(rows).toBeLessThan(8);
    const first = await collect(model.generate(beginning, OPTIONS));
    for (let seed = 20; seed < 25; seed++) await collect(model.generate(random(seed, 200), OPTIONS));
    expect(model.scheduler.prefixes!.size).toBe(rows);
    expect(await collect(model.generate(beginning, OPTIONS))).toEqual(first);
  });

  it("and is the same, at the same time, is fed once for all, and each gives what it gives alone", async () => {
    for (const length of [1, 50, CHUNK + 1, 300]) {
      const model = await loadTiny(gpu, { slots: 12, tiledDecodeFrom: 6 });
      const prompt = random(length, length);
      const options = (choice: number): GenerateOptions => ({
        ...OPTIONS,
        choice,
        temperature: choice === 3 ? 0 : 1,
        metrics: choice % 2 === 1,
        ...(choice % 3 === 1 ? { logprobs: 2 } : {}),
      });
      const choices = Array.from({ length: 12 }, (_, choice) => choice);
      const seen = watch(model);
      const found = await Promise.all(
        choices.map((choice) => collect(model.generate(prompt, options(choice)))),
      );
      expect(seen.fed).toBe(length);
      expect(seen.together).toEqual([12]);
      vi.restoreAllMocks();
      expect(found.map(({ reusedTokens }) => reusedTokens)).toEqual([0, ...new Array(11).fill(length)]);
      expect(new Set(found.map(({ text }) => text)).size).toBeGreaterThan(8);
      const plain = await loadTiny(gpu, { slots: 12, prefixBytes: 0 });
      for (const [choice, { reusedTokens: _, ...each }] of found.entries()) {
        expect(await collect(plain.generate(prompt, options(choice)))).toMatchObject(each);
      }
      expectAllFree(model);
    }
  });

  it("goes on in another's hands where the one that was fed leaves", async () => {
    const model = await loadTiny(gpu, { slots: 4, prefixBytes: 0, promptRows: 64 });
    const prompt = random(8, 1000);
    const expected = await collect(model.generate(prompt, OPTIONS));
    for (const leavers of [1, 2, 3]) {
      const controllers = [0, 1, 2, 3].map(() => new AbortController());
      const leaving = controllers.slice(0, leavers);
      const seen = watch(model, () => leaving.shift()?.abort(new Error("gone")));
      const ends = await Promise.allSettled(
        controllers.map(({ signal }) => collect(model.generate(prompt, { ...OPTIONS, signal }))),
      );
      for (const [i, end] of ends.entries()) {
        if (i < leavers) expect(end).toMatchObject({ reason: { message: "gone" } });
        else expect(end).toMatchObject({ value: { text: expected.text, tokens: expected.tokens } });
      }
      expect(seen.fed).toBe(prompt.length);
      vi.restoreAllMocks();
      expectAllFree(model);
      expect(model.scheduler.size).toBe(0);
    }
  });

  it("is its own where readout scales differ, or where a stream has a past", async () => {
    const model = await tiny();
    const prompt = random(77, 90);
    const seen = watch(model);
    const stream = model.open();
    await collect(model.generate("before", { ...OPTIONS, stream }));
    const before = seen.together.length;
    const options = [{ readoutScale: 1 }, {}, { stream, client: undefined }, { readoutScale: 1 }, {}];
    await Promise.all(options.map((more) => collect(model.generate(prompt, { ...OPTIONS, ...more }))));
    expect(seen.together.slice(before).sort()).toEqual([1, 2, 2]);
    stream.close();
    expectAllFree(model);
  });
});

it("does in a turn what takes a tenth of a second: more where turns are fast, the least where they are slow", async () => {
  const prompt = Array.from(randomIntegers(4, 3000, 260));
  const seen = async (milliseconds: number) => {
    const model = await loadTiny(gpu, { slots: 1, promptRows: 512, prefixBytes: 0 });
    let now = 0;
    vi.spyOn(performance, "now").mockImplementation(() => {
      now += milliseconds;
      return now;
    });
    const feed = vi.spyOn(model.runner, "feed");
    const batch = vi.spyOn(model.runner, "batch");
    const { text } = await collect(model.generate(prompt, { seed: 1, maxTokens: 60 }));
    const rows = feed.mock.calls.map(([, , tokens]) => tokens.length);
    const steps = batch.mock.calls.map(([, count]) => count);
    vi.restoreAllMocks();
    return { text, rows, steps };
  };
  const [fast, slow] = [await seen(0), await seen(1000)];
  expect([Math.min(...fast.rows), Math.max(...fast.rows), Math.max(...fast.steps)]).toEqual([CHUNK, 512, 8]);
  expect(new Set(slow.rows)).toEqual(new Set([CHUNK]));
  expect(new Set(slow.steps.slice(3))).toEqual(new Set([1])); // those before it knew
  expect(slow.text).toBe(fast.text);
});

it("has no more slots than a step feeds streams: the model is refused by name", async () => {
  expect(await refusal(loadTiny(gpu, { slots: 1025 }))).toMatchObject({
    code: "invalid_argument",
    where: "slots",
  });
});

describe("clients", () => {
  it("have their prompts fed in turns, however many one of them has", async () => {
    const model = await tiny();
    const { runner } = model;
    const fed: number[] = [];
    const prompts = runner.prompts.bind(runner);
    vi.spyOn(runner, "prompts").mockImplementation((rows, ...rest) => {
      fed.push(...rows.map(({ slot }) => slot));
      return prompts(rows, ...rest);
    });
    const streams = Array.from({ length: 5 }, () => model.open());
    await Promise.all(
      streams.map(async (stream, i) => {
        const client = i < 4 ? "busy" : "modest";
        const options = { ...settingsOf(2), runAhead: 8, maxTokens: 2, client };
        const long = Array.from(randomIntegers(3 + i, 500, model.config.vocabulary));
        for await (const _ of model.scheduler.decode(stream, i < 4 ? long : [1, 2], options));
      }),
    );
    expect(fed.indexOf(streams[4]!.slot)).toBeLessThan(2);
    expect(fed).toHaveLength(5);
    for (const stream of streams) stream.close();
    expectAllFree(model);
  });
});
