import { describe, expect, it } from "vitest";
import {
  firstDifference,
  poisoned,
  randomFloats,
  randomIntegers,
  relativeError,
  runDispatches,
  testGpu,
  untouched,
} from "../../test/gpu.ts";
import { fadeTable, memoryWindow, type PairFade, planarWidth, toPlanar } from "./memory-window.ts";
import { memoryWindowReference } from "./reference.ts";

const gpu = await testGpu();
const slotCount = 7;

const fadesOf = (size: number): PairFade[] => {
  const [betas, moduli, angles] = [1, 2, 3].map((seed) =>
    randomFloats(seed, Math.ceil(size / 2), 0.3, 0.999),
  );
  return Array.from(betas!, (beta, p) => {
    const angle = 4 * angles![p]!;
    const [re, im] = [moduli![p]! * Math.cos(angle), moduli![p]! * Math.sin(angle)];
    return { beta, alpha: p % 5, re, im, drive: p % 7 };
  });
};

/** Features `[slots, D]`; the windows `[rows, 2, D]` of tokens in `slots`, `span − 1` of them before the first row. */
async function run(
  features: Float32Array<ArrayBuffer>,
  slots: Uint32Array<ArrayBuffer>,
  size: number,
  span: number,
): Promise<Float32Array> {
  const rows = slots.length - span + 1;
  const width = planarWidth(size);
  const windows = poisoned(gpu, "windows", rows * 2 * width + 64);
  const scales = poisoned(gpu, "scales", rows * 2 + 64);
  const planar = new Float32Array(slotCount * width);
  for (let slot = 0; slot < slotCount; slot++) {
    planar.set(toPlanar(features.subarray(slot * size, (slot + 1) * size)), slot * width);
  }
  const dispatch = memoryWindow(gpu, size, span, {
    features: gpu.upload("features", planar),
    slots: gpu.upload("slots", slots),
    fades: gpu.upload("fades", fadeTable(fadesOf(size), size, span)),
    windows,
    scales,
  });
  await runDispatches(gpu, [dispatch], { rows, length: rows });
  const [values, lengths] = [await gpu.readFloats(windows), await gpu.readFloats(scales)];
  expect(untouched(values, rows * 2 * width)).toBe(true);
  expect(untouched(lengths, rows * 2)).toBe(true);
  return values.subarray(0, rows * 2 * width).map((value, i) => value * lengths[Math.floor(i / width)]!);
}

describe("windowed states", () => {
  it.each([
    [1, 1],
    [2, 4],
    [33, 3],
    [64, 1],
    [256, 4],
    [300, 32],
    [769, 8],
  ])("agree with the difference of two states, D %i, %i tokens", async (size, span) => {
    const rows = 21;
    const features = randomFloats(size, slotCount * size);
    const slots = randomIntegers(span, rows + span - 1, slotCount);
    const u = Float32Array.from(
      { length: slots.length * size },
      (_, i) => features[slots[Math.floor(i / size)]! * size + (i % size)]!,
    );
    const all = memoryWindowReference(u, fadesOf(size), size, span);
    const expected = Array.from({ length: 2 * rows }, (_, i) => {
      const start = (2 * (span - 1) + i) * size;
      return [...toPlanar(all.subarray(start, start + size))];
    }).flat();
    expect(relativeError(await run(features, slots, size, span), expected)).toBeLessThan(2e-6);
  });

  it("are the same bits wherever the same tokens stand", async () => {
    const [size, span] = [130, 5];
    const width = planarWidth(size);
    const features = randomFloats(1, slotCount * size);
    const slots = randomIntegers(2, 60, slotCount);
    slots.copyWithin(40, 10, 10 + span);
    slots[40 + span] = (slots[10 + span]! + 1) % slotCount;
    const windows = await run(features, slots, size, span);
    const row = (last: number): Float32Array =>
      windows.subarray((last - span + 1) * 2 * width, (last - span + 2) * 2 * width);
    expect(firstDifference(row(40 + span - 1), row(10 + span - 1))).toBe(-1);
    expect(firstDifference(row(40 + span), row(10 + span))).not.toBe(-1);
  });

  it("have length 1 each, and are zero where the features are", async () => {
    const [size, span] = [256, 4];
    const features = randomFloats(3, slotCount * size);
    features.fill(0, 0, size);
    const windows = await run(features, Uint32Array.of(0, 0, 0, 0, 1, 2, 3), size, span);
    const lengths = Array.from({ length: 8 }, (_, i) =>
      Math.hypot(...windows.subarray(i * size, (i + 1) * size)),
    );
    expect(lengths.slice(0, 2)).toEqual([0, 0]);
    for (const length of lengths.slice(2)) expect(length).toBeCloseTo(1, 6);
  });
});
