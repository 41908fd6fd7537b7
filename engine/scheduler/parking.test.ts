import { describe, expect, it } from "vitest";
import { testGpu } from "../../test/gpu.ts";
import { loadTiny } from "../../test/models.ts";
import { refusal } from "../../weights/testing/fixtures.ts";
import { loadBase } from "../alignment/testing/base-model.ts";
import { collect, type GenerateOptions } from "../generate.ts";
import type { Model } from "../model.ts";

const gpu = await testGpu();

const SLOTS = 2;
const STREAMS = 12;
const optionsOf = (i: number): GenerateOptions => ({
  seed: 50 + i,
  temperature: 1,
  maxTokens: 70,
  repetitionPenalty: 1.2,
  client: i % 3,
  metrics: i % 4 === 1,
});
const promptOf = (i: number): string => `the oscillators ${"agree and ".repeat(i % 4)}`;

async function textsOf(model: Model, count: number): Promise<unknown[]> {
  const found = await Promise.all(
    Array.from({ length: count }, (_, i) => collect(model.generate(promptOf(i), optionsOf(i)))),
  );
  return found.map(({ reusedTokens: _, ...finish }) => finish);
}

function expectNothingHeld(model: Model): void {
  const { pool, snapshots } = model.runner;
  expect([pool.free, snapshots.free]).toEqual([pool.slots, snapshots.slots]);
  expect(snapshots.parked).toEqual({ onGpu: 0, onHost: 0 });
  expect(model.streams).toEqual({ open: 0, most: STREAMS });
}

describe("more streams than slots", () => {
  it.each([
    ["on the GPU", undefined],
    ["on the host", 0],
  ])("are parked %s, and give what each gives alone, bit for bit", async (_, parkedBytes) => {
    const plain = await loadTiny(gpu, { slots: STREAMS, promptRows: 64 });
    const model = await loadTiny(gpu, {
      slots: SLOTS,
      streams: STREAMS,
      promptRows: 64,
      ...(parkedBytes === undefined ? {} : { parkedBytes }),
    });
    const expected = await textsOf(plain, STREAMS);
    expect(await textsOf(model, STREAMS)).toEqual(expected);
    const { moves, portable } = model.scheduler.stats();
    expect(portable).toBe(true);
    expect(moves).toBeGreaterThan(STREAMS);
    expectNothingHeld(model);

    // Readers that leave in the middle stand right after what they were given, and go on from there.
    const streams = Array.from({ length: STREAMS }, () => model.open());
    expect((await refusal((async () => model.open())())).code).toBe("out_of_memory");
    const begun = await Promise.all(
      streams.map(async (stream, i) => {
        const tokens: number[] = [];
        for await (const { token } of model.generate(promptOf(i), { ...optionsOf(i), stream })) {
          if (token !== undefined) tokens.push(token);
          if (tokens.length === 11 + 4 * i) break;
        }
        return tokens;
      }),
    );
    const files = await Promise.all(streams.map((stream) => model.save(stream)));
    const rest = await Promise.all(
      streams.map((stream, i) =>
        collect(model.generate([], { ...optionsOf(i), stream, maxTokens: 70 - begun[i]!.length })),
      ),
    );
    for (const [i, { tokens }] of rest.entries()) {
      expect([...begun[i]!, ...tokens], `stream ${i}`).toEqual((expected[i] as { tokens: number[] }).tokens);
    }
    for (const stream of streams) stream.close();
    const restored = await plain.restore(files[3]!);
    const { tokens } = await collect(
      plain.generate([], { ...optionsOf(3), stream: restored, maxTokens: 20 }),
    );
    expect(tokens).toEqual(rest[3]!.tokens.slice(0, 20));
    restored.close();
    expectNothingHeld(model);
  });

  it("wait for a slot under attention, and give what each gives alone", async () => {
    const plain = await loadBase({ slots: STREAMS, attention: "on" });
    const model = await loadBase({ slots: 3, streams: STREAMS, attention: "on" });
    const sampling = {
      temperature: 1,
      topK: 0,
      topP: 1,
      repetitionPenalty: 1.2,
      phaseTemperature: 0,
      choice: 0,
    };
    const texts = (on: Model): Promise<number[][]> =>
      Promise.all(
        Array.from({ length: STREAMS }, async (_, seed) => {
          const stream = on.open();
          const options = { sampling: { ...sampling, seed }, measure: false, maxTokens: 9, runAhead: 8 };
          const tokens: number[] = [];
          const steps = on.scheduler.decode(stream, [1, 2, 3 + seed], { ...options, client: seed % 3 });
          for await (const { token } of steps) tokens.push(token);
          stream.close();
          return tokens;
        }),
      );
    expect(await texts(model)).toEqual(await texts(plain));
    expect(model.scheduler.stats().moves).toBe(0);
    expect(model.streams).toEqual({ open: 0, most: STREAMS });
    expect(model.runner.pool.free).toBe(3);
  });
});
