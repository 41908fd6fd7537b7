import { expect, it } from "vitest";
import {
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
import { type Lattice, latticeTable, metrics } from "./metrics.ts";
import { coherenceReference, latticeCoherenceReference, pairsReference } from "./reference.ts";

const gpu = await testGpu();
const [layer, layers, step, steps] = [1, 2, 1, 3];

/** The four metrics of each row; nothing else in `[steps, rows, layers, 4]` may be written. */
async function run(
  size: number,
  rows: number,
  pvm: boolean,
  lattice: Lattice | undefined,
  memory: Float32Array<ArrayBuffer>,
  gates: Float32Array<ArrayBuffer>,
): Promise<Float32Array[]> {
  const shape = { rows, length: rows };
  const out = poisoned(gpu, "metrics", steps * rows * layers * 4);
  await runDispatches(
    gpu,
    [
      metrics(gpu, size, layers, pvm, lattice, {
        run: uploadRun(gpu, shape),
        schedule: uploadSchedule(gpu, step),
        block: uploadBlock(gpu, layer),
        memory: gpu.upload("memory", memory),
        gates: gpu.upload("gates", gates),
        lattice: gpu.upload("lattice", latticeTable(lattice?.grid ?? [1, 1]).slice()),
        metrics: out,
      }),
    ],
    shape,
  );
  const values = await gpu.readFloats(out);
  const found: Float32Array[] = [];
  for (let place = 0; place < steps * rows * layers; place++) {
    const four = values.subarray(4 * place, 4 * place + 4);
    const own = Math.floor(place / (rows * layers)) === step && place % layers === layer;
    if (own) found.push(four);
    else expect(untouched(four, 0)).toBe(true);
  }
  return found;
}

const meanOf = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + Math.abs(value), 0) / values.length;

const grids: [grid: [number, number], components: number][] = [
  [[4, 4], 3],
  [[2, 4], 5],
  [[1, 3], 70],
];

it.each(grids)("agree with the reference on a lattice of %o, %i components", async (grid, components) => {
  const size = 2 * grid[0] * grid[1] * components;
  const rows = 3;
  const memory = randomFloats(1, rows * 2 * size, -0.5, 1);
  const gates = randomFloats(2, rows * 2 * size, 0, 1);
  const found = await run(size, rows, true, { grid, components }, memory, gates);
  found.forEach((four, row) => {
    const m = memory.subarray(2 * row * size, (2 * row + 1) * size);
    const z = memory.subarray((2 * row + 1) * size, (2 * row + 2) * size);
    const gate = gates.subarray(2 * row * size, (2 * row + 1) * size);
    const expected = [
      coherenceReference(pairsReference(m)),
      latticeCoherenceReference(z, grid),
      meanOf(gate),
      meanOf(m),
    ];
    four.forEach((value, i) => {
      expect(relativeError([value], [expected[i]!])).toBeLessThan(3e-6);
    });
  });
});

it.each([1, 2, 33, 65, 769])("measure a vector memory alone, D %i", async (size) => {
  const memory = randomFloats(3, 2 * 2 * size, -0.5, 1);
  const gates = randomFloats(4, 2 * 2 * size, 0, 1);
  const found = await run(size, 2, true, undefined, memory, gates);
  found.forEach((four, row) => {
    const m = memory.subarray(2 * row * size, (2 * row + 1) * size);
    const gate = gates.subarray(2 * row * size, (2 * row + 1) * size);
    const expected = [coherenceReference(pairsReference(m)), 0, meanOf(gate), meanOf(m)];
    expect(relativeError(four, expected)).toBeLessThan(2e-6);
  });
});

it("measure a lattice alone", async () => {
  const memory = randomFloats(5, 2 * 64);
  const found = await run(64, 1, false, { grid: [4, 4], components: 2 }, memory, memory);
  const coherence = latticeCoherenceReference(memory.subarray(64), [4, 4]);
  expect(relativeError(found[0]!, [0, coherence, 0, 0])).toBeLessThan(2e-6);
});

it("are 0, not NaN, for a memory that is all zero", async () => {
  const zeros = new Float32Array(2 * 32);
  const found = await run(32, 1, true, { grid: [2, 4], components: 2 }, zeros, zeros);
  expect(Array.from(found[0]!)).toEqual([0, 0, 0, 0]);
});

it("are 1 where all pairs agree", async () => {
  const size = 32;
  // A component whose only mode is the constant one has equal cells.
  const memory = Float32Array.from({ length: 2 * size }, (_, i) =>
    i < size ? (i < size / 2 ? 3 : 4) : (i - size) % 8 === 0 ? 1 : 0,
  );
  const found = await run(size, 1, true, { grid: [2, 4], components: 2 }, memory, memory);
  expect(found[0]![0]).toBeCloseTo(1, 6);
  expect(found[0]![1]).toBeCloseTo(1, 6);
});
