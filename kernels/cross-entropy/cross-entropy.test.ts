import { expect, it } from "vitest";
import {
  poisoned,
  randomFloats,
  randomIntegers,
  relativeError,
  runDispatches,
  testGpu,
  untouched,
} from "../../test/gpu.ts";
import { crossEntropy } from "./cross-entropy.ts";
import { crossEntropyReference } from "./reference.ts";

const gpu = await testGpu();

async function run(
  logits: Float32Array<ArrayBuffer>,
  targets: Uint32Array<ArrayBuffer>,
  vocabulary: number,
): Promise<Float32Array> {
  const rows = targets.length;
  const loss = poisoned(gpu, "loss", rows + 64);
  const buffers = { logits: gpu.upload("logits", logits), targets: gpu.upload("targets", targets), loss };
  await runDispatches(gpu, [crossEntropy(gpu, vocabulary, buffers)], { rows, length: rows });
  const values = await gpu.readFloats(loss);
  expect(untouched(values, rows)).toBe(true);
  return values.subarray(0, rows);
}

it.each([1, 37, 64, 260, 1031, 50304])(
  "agrees with the reference on a vocabulary of %i",
  async (vocabulary) => {
    for (const [rows, size] of [
      [1, 1],
      [33, 10],
    ] as const) {
      const logits = randomFloats(vocabulary, rows * vocabulary, -size, size);
      const targets = randomIntegers(1, rows, vocabulary);
      const expected = crossEntropyReference(logits, targets, vocabulary);
      expect(relativeError(await run(logits, targets, vocabulary), expected)).toBeLessThan(2e-6);
    }
  },
);

it("stays exact for logits of ±80 and far beyond", async () => {
  const logits = Float32Array.of(80, -80, 0, -80, -80, 80, 80, 80, 80, 1e4, -1e4, 9.99e3);
  const targets = Uint32Array.of(1, 2, 0, 2);
  const expected = crossEntropyReference(logits, targets, 3);
  expect(relativeError(await run(logits, targets, 3), expected)).toBeLessThan(1e-6);
});
