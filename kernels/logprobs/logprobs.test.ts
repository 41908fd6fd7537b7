import { expect, it } from "vitest";
import {
  firstDifference,
  poisoned,
  randomFloats,
  randomIntegers,
  runDispatches,
  testGpu,
  untouched,
  uploadRun,
  uploadSchedule,
} from "../../test/gpu.ts";
import {
  decodeLogprobs,
  entriesFor,
  FEW_LOGPROBS,
  type Logprobs,
  logprobs,
  logprobsBytes,
  logprobsWorkspaceBytes,
  TOP_LOGPROBS,
} from "./logprobs.ts";
import { logprobsReference } from "./reference.ts";

const gpu = await testGpu();
const WORDS = logprobsBytes(FEW_LOGPROBS) / 4;
const NO_TOKEN = 0xffffffff;

/**
 * The words of each row at step `step`; nothing of other steps may be read or written. Many workgroups a row must give the
 * same bits as one.
 */
async function run(
  logits: Float32Array<ArrayBuffer>,
  tokens: readonly number[],
  vocabulary: number,
  step = 1,
  entries = FEW_LOGPROBS,
): Promise<Uint32Array[]> {
  const alone = await runBy("one", logits, tokens, vocabulary, step, entries);
  const shared = await runBy("many", logits, tokens, vocabulary, step, entries);
  expect(shared.map((words, row) => firstDifference(words, alone[row]!))).toEqual(tokens.map(() => -1));
  return alone;
}

async function runBy(
  workgroups: "one" | "many",
  logits: Float32Array<ArrayBuffer>,
  tokens: readonly number[],
  vocabulary: number,
  step: number,
  entries: number,
): Promise<Uint32Array[]> {
  const width = logprobsBytes(entries) / 4;
  const rows = tokens.length;
  const shape = { rows, length: 1 };
  const results = new Uint32Array((step + 2) * rows).fill(NO_TOKEN);
  results.set(tokens, step * rows);
  const out = poisoned(gpu, "logprobs", (step + 2) * rows * width);
  const buffers = {
    run: uploadRun(gpu, shape),
    schedule: uploadSchedule(gpu, step),
    logits: gpu.upload("logits", logits),
    results: gpu.upload("results", results),
    logprobs: out,
    candidates: poisoned(gpu, "candidates", logprobsWorkspaceBytes(vocabulary, rows, entries) / 4),
  };
  const candidates = workgroups === "many" ? buffers.candidates : undefined;
  await runDispatches(gpu, logprobs(gpu, vocabulary, { ...buffers, candidates }, entries), shape);
  const all = new Uint32Array(await gpu.read(out));
  for (const buffer of Object.values(buffers)) buffer.destroy();
  expect(untouched(all.subarray(0, step * rows * width), 0)).toBe(true);
  expect(untouched(all, (step + 1) * rows * width)).toBe(true);
  return tokens.map((_, row) => all.slice((step * rows + row) * width, (step * rows + row + 1) * width));
}

const decoded = (words: Uint32Array): Logprobs =>
  decodeLogprobs(words.buffer as ArrayBuffer, 0, words.length / 2 - 1) ?? expect.fail("a row has no result");

const ids = ({ token, top }: Logprobs): number[] => [token, ...top.map((each) => each.token)];
const values = ({ logprob, top }: Logprobs): number[] => [logprob, ...top.map((each) => each.logprob)];

/** The same tokens, and log-probabilities within f32 rounding. */
function expectClose(actual: Logprobs, expected: Logprobs): void {
  expect(ids(actual)).toEqual(ids(expected));
  values(expected).forEach((value, i) => {
    expect(Math.abs(values(actual)[i]! - value)).toBeLessThan(2e-6 * Math.max(1, Math.abs(value)));
  });
}

it.each([1, 4, 37, 65, 260, 1031, 50304])(
  "agrees with the reference on a vocabulary of %i",
  async (vocabulary) => {
    for (const [rows, size] of [
      [1, 1],
      [33, 10],
    ] as const) {
      const logits = randomFloats(vocabulary, rows * vocabulary, -size, size);
      const tokens = Array.from(randomIntegers(1, rows, vocabulary));
      const found = await run(logits, tokens, vocabulary, rows % 3);
      found.forEach((words, row) => {
        const own = logits.subarray(row * vocabulary, (row + 1) * vocabulary);
        expectClose(decoded(words), logprobsReference(own, tokens[row]!, FEW_LOGPROBS));
      });
    }
  },
);

it.each([12, 1031])(
  "gives twenty most likely tokens of %i where as many are asked for",
  async (vocabulary) => {
    const logits = randomFloats(vocabulary, 3 * vocabulary, -9, 9);
    const tokens = [0, vocabulary - 1, 7];
    const found = await run(logits, tokens, vocabulary, 1, entriesFor(6));
    const few = await run(logits, tokens, vocabulary, 1, entriesFor(5));
    found.forEach((words, row) => {
      const own = logits.subarray(row * vocabulary, (row + 1) * vocabulary);
      expectClose(decoded(words), logprobsReference(own, tokens[row]!, TOP_LOGPROBS));
      expect(decoded(words).top).toHaveLength(Math.min(20, vocabulary));
      expect(firstDifference(words.subarray(0, WORDS), few[row]!)).toBe(-1);
    });
  },
);

it("marks what a small vocabulary cannot fill", async () => {
  const [words] = await run(Float32Array.of(1, 2), [0], 2);
  expect(Array.from(words!.filter((_, i) => i % 2 === 0))).toEqual([0, 1, 0, NO_TOKEN, NO_TOKEN, NO_TOKEN]);
  expect(Array.from(words!.subarray(6))).toEqual([NO_TOKEN, 0, NO_TOKEN, 0, NO_TOKEN, 0]);
  expect(decoded(words!).top).toHaveLength(2);
});

it("puts the lower of equal tokens first, wherever in the vocabulary they lie", async () => {
  const vocabulary = 1031;
  const logits = randomFloats(5, vocabulary, -5, 5);
  for (const best of [70, 71, 700, 1030]) logits[best] = 6;
  for (const zero of [3, 64]) logits[zero] = 5.5;
  const [words] = await run(logits, [64], vocabulary);
  expect(ids(decoded(words!))).toEqual([64, 70, 71, 700, 1030, 3]);
  const [equal] = await run(new Float32Array(vocabulary).fill(-2.5), [9], vocabulary);
  expect(ids(decoded(equal!))).toEqual([9, 0, 1, 2, 3, 4]);
  for (const value of values(decoded(equal!))) expect(value).toBeCloseTo(-Math.log(vocabulary), 5);
  const [zeros] = await run(Float32Array.of(-0, 0, -0), [1], 3);
  expect(ids(decoded(zeros!))).toEqual([1, 0, 1, 2]);
});

it("stays exact for logits of ±80 and far beyond, and never above 0", async () => {
  const logits = Float32Array.of(80, -80, 0, -80, -80, 80, 80, 80, 80, 1e4, -1e4, 9.99e3, -3e38, 3e38, 0);
  const tokens = [1, 2, 0, 2, 1];
  const found = await run(logits, tokens, 3);
  found.slice(0, 4).forEach((words, row) => {
    expectClose(decoded(words), logprobsReference(logits.subarray(row * 3, row * 3 + 3), tokens[row]!, 5));
  });
  expect(decoded(found[4]!)).toMatchObject({ token: 1, logprob: 0, top: [{ token: 1, logprob: 0 }, {}, {}] });
  for (const words of found) expect(Math.max(...values(decoded(words)))).toBeLessThanOrEqual(0);
});

it("gives a row the same bits wherever it lies in the batch, and again", async () => {
  const vocabulary = 260;
  const rows = 9;
  const logits = randomFloats(7, rows * vocabulary, -4, 4);
  const tokens = Array.from(randomIntegers(8, rows, vocabulary));
  const together = await run(logits, tokens, vocabulary, 0);
  const again = await run(logits, tokens, vocabulary, 2);
  for (const [row, words] of together.entries()) {
    const own = logits.slice(row * vocabulary, (row + 1) * vocabulary);
    const [alone] = await run(own, [tokens[row]!], vocabulary);
    for (const other of [again[row]!, alone!]) expect(firstDifference(words, other)).toBe(-1);
  }
});

it("gives nothing for logits that are not finite, in their own row alone", async () => {
  const vocabulary = 130;
  const logits = randomFloats(8, 8 * vocabulary);
  [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY].forEach((value, i) => {
    logits[(2 * i + 1) * vocabulary + 43 * i] = value;
  });
  const found = await run(logits, [0, 1, 2, 3, 4, 5, NO_TOKEN, 7], vocabulary);
  const failed = found.map((words) => decodeLogprobs(words.buffer as ArrayBuffer, 0, 0) === undefined);
  expect(failed).toEqual([false, true, false, true, false, true, true, false]);
  for (const row of [1, 3, 5]) {
    expect(Array.from(found[row]!)).toEqual(Array.from({ length: WORDS }, (_, i) => (i % 2 ? 0 : NO_TOKEN)));
  }
});

it("is read with as many alternatives as are asked for", async () => {
  const [words] = await run(randomFloats(3, 37), [8], 37);
  const all = decoded(words!);
  for (let top = 0; top <= FEW_LOGPROBS; top++) {
    const some = decodeLogprobs(words!.buffer as ArrayBuffer, 0, top);
    expect(some).toEqual({ ...all, top: all.top.slice(0, top) });
  }
});
