import { expect, it } from "vitest";
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
import { combine } from "./combine.ts";
import { combineReference, tailReference } from "./reference.ts";

const gpu = await testGpu();
const [slot, layer, layers, step] = [2, 1, 3, 2];
const [alpha, gain] = [0.3, 0.7];

interface Case {
  readonly size: number;
  readonly streams: number;
  readonly length: number;
  readonly tail: number;
  readonly pvm: boolean;
  readonly plm: boolean;
}

function dataOf({ size, streams, length, tail, pvm, plm }: Case) {
  const layout = looseState(size, layers, tail, { pvm, plm });
  const rows = streams * length;
  const next = mulberry32(size);
  return {
    layout,
    rows,
    // ψ and θ of every step, row and block.
    angles: Array.from({ length: (step + 1) * rows * layers }, () => [20 * next(), 20 * next()] as const),
    h: randomFloats(1, rows * size),
    mixed: randomFloats(2, rows * 2 * size),
    gates: randomFloats(3, rows * 2 * size, 0, 1),
    memory: randomFloats(4, rows * 2 * size),
    plm: randomFloats(5, rows * size),
    weights: randomFloats(6, 5 * size),
    state: randomFloats(7, (slot + streams + 1) * layout.slotStride),
  };
}

type Data = ReturnType<typeof dataOf>;

async function run(c: Case, data: Data) {
  const shape = { rows: data.rows, length: c.length };
  const angles = data.angles.flatMap(([psi, theta]) => [
    Math.cos(psi),
    Math.sin(psi),
    Math.cos(theta),
    Math.sin(theta),
  ]);
  const state = gpu.upload("state", data.state);
  const h = poisoned(gpu, "h", data.h.length + 64, data.h);
  await runDispatches(
    gpu,
    [
      combine(gpu, c.size, layers, data.layout, {
        run: uploadRun(gpu, shape, slot),
        schedule: uploadSchedule(gpu, step, angles),
        block: uploadBlock(gpu, layer, alpha, gain),
        mixed: gpu.upload("mixed", data.mixed),
        gates: gpu.upload("gates", data.gates),
        memory: gpu.upload("memory", data.memory),
        plm: gpu.upload("plm", data.plm),
        weights: gpu.upload("weights", data.weights),
        state,
        h,
      }),
    ],
    shape,
  );
  const values = await gpu.readFloats(h);
  expect(untouched(values, data.h.length)).toBe(true);
  return { h: values.subarray(0, data.h.length), state: await gpu.readFloats(state) };
}

function expectedRow({ size, pvm, plm }: Case, data: Data, row: number): Float64Array {
  const first = row * 2 * size;
  const [psi, theta] = data.angles[(step * data.rows + row) * layers + layer]!;
  const weight = (i: number) => data.weights.subarray(i * size, (i + 1) * size);
  return combineReference(
    {
      h: data.h.subarray(row * size, (row + 1) * size),
      x: data.mixed.subarray(first, first + size),
      u: data.mixed.subarray(first + size, first + 2 * size),
      ...(pvm && {
        pvm: {
          m: data.memory.subarray(first, first + size),
          gate: data.gates.subarray(first, first + size),
          theta,
        },
      }),
      ...(plm && {
        plm: {
          out: data.plm.subarray(row * size, (row + 1) * size),
          gate: data.gates.subarray(first + size, first + 2 * size),
        },
      }),
      psi,
    },
    {
      norm: data.weights.subarray(0, 2 * size),
      cosine: weight(2),
      sine: weight(3),
      bias: weight(4),
      alpha,
      gain,
    },
  );
}

/** The states after the pass: tail, m and z of the fed streams' block are new, everything else is as before. */
function expectedState({ size, streams, length, tail, pvm, plm }: Case, data: Data): Float32Array {
  const state = data.state.slice();
  for (let stream = 0; stream < streams; stream++) {
    const base = (slot + stream) * data.layout.slotStride + layer * data.layout.layerStride;
    const x = Array.from({ length }, (_, t) => {
      const first = (stream * length + t) * 2 * size;
      return Array.from(data.mixed.subarray(first, first + size));
    });
    state.set(tailReference(data.state.subarray(base, base + tail * size), x.flat(), tail, size), base);
    const last = ((stream + 1) * length - 1) * 2 * size;
    const m = data.memory.subarray(last, last + size);
    const z = data.memory.subarray(last + size, last + 2 * size);
    if (pvm) state.set(m, base + tail * size);
    if (plm) state.set(z, base + (tail + Number(pvm)) * size);
  }
  return state;
}

const full = { pvm: true, plm: true };
const cases: Case[] = [
  { size: 2, streams: 3, length: 1, tail: 3, ...full },
  { size: 34, streams: 2, length: 2, tail: 3, ...full },
  { size: 48, streams: 2, length: 31, tail: 3, ...full },
  { size: 64, streams: 1, length: 3, tail: 3, pvm: false, plm: true },
  { size: 256, streams: 5, length: 1, tail: 2, ...full },
  { size: 1, streams: 2, length: 2, tail: 0, pvm: true, plm: false },
  { size: 33, streams: 3, length: 5, tail: 8, pvm: true, plm: false },
  { size: 65, streams: 1, length: 200, tail: 1, pvm: true, plm: false },
  { size: 769, streams: 2, length: 1, tail: 0, pvm: true, plm: false },
  { size: 63, streams: 2, length: 4, tail: 0, pvm: false, plm: false },
];

it.each(cases)("moves h on and commits the fed streams' states alone, for %o", async (c) => {
  const data = dataOf(c);
  const values = await run(c, data);
  const expected = Array.from({ length: data.rows }, (_, row) => Array.from(expectedRow(c, data, row)));
  expect(relativeError(values.h, expected.flat())).toBeLessThan(3e-6);
  expect(firstDifference(values.state, expectedState(c, data))).toBe(-1);
});
