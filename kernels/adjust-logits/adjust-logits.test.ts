import { expect, it } from "vitest";
import {
  firstDifference,
  poisoned,
  randomFloats,
  randomIntegers,
  runDispatches,
  sharedLoadHost,
  testGpu,
  untouched,
  uploadRun,
} from "../../test/gpu.ts";
import type { KernelHost } from "../kernel.ts";
import {
  ADJUSTMENT_BYTES,
  type Adjustment,
  adjustLogits,
  BIASES_BYTES,
  encodeAdjustment,
  encodeBiases,
} from "./adjust-logits.ts";
import { adjustLogitsReference } from "./reference.ts";

const gpu = await testGpu();
const SLOT = 1;
const off: Adjustment = {
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: new Map(),
};

/** The adjusted logits of each row; the rows' streams are in the slots from {@link SLOT} on. */
async function adjusted(
  host: KernelHost,
  vocabulary: number,
  given: { logits: Float32Array<ArrayBuffer>; counts: Uint32Array; bases: Uint32Array },
  rows: readonly Adjustment[],
): Promise<Float32Array> {
  const shape = { rows: rows.length, length: 1 };
  const adjustments = new Uint8Array(rows.length * ADJUSTMENT_BYTES);
  const biases = new Uint8Array(rows.length * BIASES_BYTES).fill(0xff);
  rows.forEach((row, i) => {
    adjustments.set(new Uint8Array(encodeAdjustment(row)), i * ADJUSTMENT_BYTES);
    biases.set(new Uint8Array(encodeBiases(row.logitBias)), i * BIASES_BYTES);
  });
  const counts = new Uint32Array((SLOT + rows.length) * vocabulary).fill(77);
  counts.set(given.counts, SLOT * vocabulary);
  const out = poisoned(gpu, "adjusted", rows.length * vocabulary + 16);
  const buffers = {
    run: uploadRun(
      gpu,
      shape,
      rows.map((_, row) => ({ slot: SLOT + row, position: 0 })),
    ),
    adjustments: gpu.upload("adjustments", adjustments),
    biases: gpu.upload("biases", biases),
    logits: gpu.upload("logits", given.logits),
    counts: gpu.upload("counts", counts),
    bases: gpu.upload("bases", Uint32Array.from(given.bases)),
    adjusted: out,
  };
  await runDispatches(gpu, [adjustLogits(host, vocabulary, buffers)], shape);
  const all = new Uint32Array(await gpu.read(out));
  expect(untouched(all, rows.length * vocabulary)).toBe(true);
  for (const buffer of Object.values(buffers)) buffer.destroy();
  return new Float32Array(all.buffer, 0, rows.length * vocabulary);
}

it.each([37, 1031, 2501])(
  "adjusts %i logits as the reference does, and copies other rows",
  async (vocabulary) => {
    const some = new Map([
      [0, -100],
      [vocabulary - 1, 5.5],
      [vocabulary >> 1, 100],
      [13, 0.25],
    ]);
    const rows: Adjustment[] = [
      off,
      { ...off, logitBias: some },
      { ...off, presencePenalty: 1.5, frequencyPenalty: -0.25 },
      { repetitionPenalty: 1.3, presencePenalty: -2, frequencyPenalty: 2, logitBias: some },
      { ...off, repetitionPenalty: 1.2, frequencyPenalty: 0.5 },
    ];
    const words = rows.length * vocabulary;
    const logits = randomFloats(3, words, -8, 8);
    const bases = randomIntegers(4, words, 3);
    const counts = randomIntegers(5, words, 4).map((more, i) => bases[i]! + more);
    const found = await adjusted(gpu, vocabulary, { logits, counts, bases }, rows);
    rows.forEach((row, i) => {
      const [first, last] = [i * vocabulary, (i + 1) * vocabulary];
      const own = found.subarray(first, last);
      const right = adjustLogitsReference(
        logits.subarray(first, last),
        counts.subarray(first, last),
        bases.subarray(first, last),
        row,
      );
      expect(
        own.findIndex(
          (value, v) => !(Math.abs(value - right[v]!) <= 2e-6 * Math.max(1, Math.abs(right[v]!))),
        ),
      ).toBe(-1);
      if (row === off) expect(own).toEqual(logits.subarray(first, last));
    });
    const again = await adjusted(sharedLoadHost(gpu, 0), vocabulary, { logits, counts, bases }, rows);
    expect(
      firstDifference(new Uint32Array(again.buffer, 0, words), new Uint32Array(found.buffer, 0, words)),
    ).toBe(-1);
  },
);
