import { expect, it } from "vitest";
import { testGpu } from "../../test/gpu.ts";
import { PrefixStates } from "./prefix-states.ts";

const gpu = await testGpu();
const SHAPE = { slotStride: 8, layerStride: 8, tail: 0, pvm: true, plm: false };
const VOCABULARY = 10;
/** Bytes of a state, its counts and its pending token. */
const ROW = 4 * (SHAPE.slotStride + VOCABULARY + 1);
const statesOf = (rows: number): PrefixStates => new PrefixStates(gpu, SHAPE, VOCABULARY, rows * ROW);

it("takes the memory of all rows at once, when the first is asked for", () => {
  const states = statesOf(3);
  const before = gpu.bytes;
  expect(states.rows).toBe(3);
  expect(gpu.bytes).toBe(before);
  const { pool } = states;
  expect(pool.slots).toBe(3);
  const taken = gpu.bytes - before;
  expect(taken).toBeGreaterThanOrEqual(3 * ROW);
  expect(taken).toBeLessThan(3 * ROW + 16); // rounded up
  states.reserve();
  expect(states.pool).toBe(pool);
  expect(gpu.bytes - before).toBe(taken);
});

it("has no more rows than its bytes hold, nor than one buffer of the device", () => {
  const before = gpu.bytes;
  expect(statesOf(2 ** 40).rows).toBeLessThanOrEqual(gpu.device.limits.maxBufferSize / (4 * VOCABULARY));
  expect(statesOf(0.5).rows).toBe(0);
  expect(gpu.bytes).toBe(before);
});
