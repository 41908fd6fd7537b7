import { describe, expect, it } from "vitest";
import {
  firstDifference,
  looseState,
  mulberry32,
  poisoned,
  randomFloats,
  relativeError,
  runDispatches,
  testGpu,
  untouched,
  uploadBlock,
  uploadRun,
  uploadSchedule,
} from "../../test/gpu.ts";
import { CHUNK, decayTable, memoryScan, type PairDecay } from "./memory-scan.ts";
import { memoryReference } from "./reference.ts";

const gpu = await testGpu();
const [slot, layer, layers] = [1, 1, 2];
const both = { pvm: true, plm: true };

function decays(seed: number, size: number): PairDecay[] {
  const next = mulberry32(seed);
  return Array.from({ length: Math.ceil(size / 2) }, () => ({
    beta: 0.5 + 0.49 * next(),
    alpha: next(),
    lambda: 0.001 + 0.99 * next(),
    omega: 6 * next() - 3,
  }));
}

const stateOf = (size: number, streams: number, memories = both) => {
  const layout = looseState(size, layers, 2, memories);
  return { layout, state: randomFloats(size, (slot + streams + 1) * layout.slotStride) };
};

/** Where a stream's memories start in the state. */
const memoriesOf = (layout: ReturnType<typeof looseState>, stream: number, size: number) =>
  (slot + stream) * layout.slotStride + layer * layout.layerStride + layout.tail * size;

/** Both memories `[rows, 2, D]` after each of `streams` streams' `u` `[streams, length, D]`. */
async function run(
  u: Float32Array,
  streams: number,
  decay: readonly PairDecay[],
  size: number,
  { layout, state }: ReturnType<typeof stateOf>,
): Promise<Float32Array> {
  const rows = u.length / size;
  const shape = { rows, length: rows / streams };
  const mixed = new Float32Array(2 * u.length).fill(Number.NaN);
  for (let row = 0; row < rows; row++) {
    mixed.set(u.subarray(row * size, (row + 1) * size), (2 * row + 1) * size);
  }
  const memory = poisoned(gpu, "memory", 2 * u.length + 64);
  const ends = streams * Math.ceil(shape.length / CHUNK) * Math.ceil(size / 2) * 4;
  await runDispatches(
    gpu,
    memoryScan(gpu, size, layout, {
      run: uploadRun(gpu, shape, slot),
      schedule: uploadSchedule(gpu, 0),
      block: uploadBlock(gpu, layer),
      mixed: gpu.upload("mixed", mixed),
      decay: gpu.upload("decay", decayTable(decay).slice()),
      state: poisoned(gpu, "state", 0, state),
      ends: poisoned(gpu, "ends", ends),
      memory,
    }),
    shape,
  );
  const values = await gpu.readFloats(memory);
  expect(untouched(values, 2 * u.length)).toBe(true);
  return values.subarray(0, 2 * u.length);
}

/** One of the two vectors of each row of `[rows, 2, D]`. */
const vectors = (values: Float32Array, which: 0 | 1, size: number): Float32Array =>
  values.filter((_, i) => Math.floor(i / size) % 2 === which);

describe("the memories after each token", () => {
  const cases: [size: number, streams: number, length: number][] = [
    [1, 1, 65],
    [2, 3, 63],
    [33, 2, 200],
    [48, 1, 1],
    [63, 4, 64],
    [64, 5, 1],
    [65, 2, 129],
    [256, 1, 200],
    [769, 2, 65],
  ];

  it.each(cases)("are the recurrences', D %i, %i streams of %i", async (size, streams, length) => {
    const u = randomFloats(1, streams * length * size);
    const decay = decays(2, size);
    const start = stateOf(size, streams);
    const values = await run(u, streams, decay, size, start);
    for (let stream = 0; stream < streams; stream++) {
      const base = memoriesOf(start.layout, stream, size);
      const expected = memoryReference(
        u.subarray(stream * length * size, (stream + 1) * length * size),
        decay,
        { m: start.state.subarray(base, base + size), z: start.state.subarray(base + size, base + 2 * size) },
        size,
      );
      const own = values.subarray(stream * 2 * length * size, (stream + 1) * 2 * length * size);
      expect(relativeError(vectors(own, 0, size), expected.m)).toBeLessThan(3e-6);
      // An odd D has no lattice.
      if (size % 2 === 0) expect(relativeError(vectors(own, 1, size), expected.z)).toBeLessThan(3e-6);
    }
  });

  it.each([
    { pvm: true, plm: false },
    { pvm: false, plm: true },
  ])("are right where there is but one of them: %o", async (memories) => {
    const [size, streams, length] = [48, 2, 130];
    const u = randomFloats(3, streams * length * size);
    const decay = decays(4, size);
    const start = stateOf(size, streams, memories);
    const values = await run(u, streams, decay, size, start);
    for (let stream = 0; stream < streams; stream++) {
      const base = memoriesOf(start.layout, stream, size);
      const own = start.state.subarray(base, base + size);
      const part = u.subarray(stream * length * size, (stream + 1) * length * size);
      const expected = memoryReference(part, decay, { m: own, z: own }, size);
      const rows = values.subarray(stream * 2 * length * size, (stream + 1) * 2 * length * size);
      const which = memories.pvm ? 0 : 1;
      const right = memories.pvm ? expected.m : expected.z;
      expect(relativeError(vectors(rows, which, size), right)).toBeLessThan(3e-6);
    }
  });

  it.each([
    { size: 64, memories: both },
    { size: 33, memories: { pvm: true, plm: false } },
  ])("are, bit for bit, the same when the prompt is cut at whole chunks: %o", async ({ size, memories }) => {
    const length = 3 * CHUNK + 8;
    const u = randomFloats(5, length * size);
    const decay = decays(6, size);
    const start = stateOf(size, 1, memories);
    const kept = (values: Float32Array) => (memories.plm ? values : vectors(values, 0, size));
    const whole = await run(u, 1, decay, size, start);
    for (const cuts of [[CHUNK], [2 * CHUNK], [CHUNK, 3 * CHUNK], [CHUNK, 2 * CHUNK, 3 * CHUNK]]) {
      const state = start.state.slice();
      let first = 0;
      for (const end of [...cuts, length]) {
        const { layout } = start;
        const part = await run(u.subarray(first * size, end * size), 1, decay, size, { layout, state });
        const same = whole.subarray(2 * first * size, 2 * end * size);
        expect(firstDifference(kept(part), kept(same))).toBe(-1);
        state.set(kept(part.subarray(part.length - 2 * size)), memoriesOf(layout, 0, size));
        first = end;
      }
    }
  });

  it("are, bit for bit, the same whatever other streams share the pass", async () => {
    const [size, streams, length] = [34, 3, 100];
    const u = randomFloats(7, streams * length * size);
    const decay = decays(8, size);
    const start = stateOf(size, streams);
    const all = await run(u, streams, decay, size, start);
    const state = start.state.slice();
    state.copyWithin(start.layout.slotStride, 3 * start.layout.slotStride);
    const alone = await run(u.slice(2 * length * size), 1, decay, size, { layout: start.layout, state });
    expect(firstDifference(alone, all.subarray(4 * length * size))).toBe(-1);
  });
});
