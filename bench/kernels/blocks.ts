import { stateShape } from "../../engine/state/state-pool.ts";
import { combine } from "../../kernels/combine/combine.ts";
import { combineReference } from "../../kernels/combine/reference.ts";
import { combineUp } from "../../kernels/combine-up/combine-up.ts";
import { combineUpReference } from "../../kernels/combine-up/reference.ts";
import type { RunShape } from "../../kernels/kernel.ts";
import { matrixBytes, weightFormats } from "../../kernels/matrix.ts";
import { memoryCombine } from "../../kernels/memory-combine/memory-combine.ts";
import { memoryCombineReference } from "../../kernels/memory-combine/reference.ts";
import { decayTable, memoryScan, type PairDecay } from "../../kernels/memory-scan/memory-scan.ts";
import { memoryReference } from "../../kernels/memory-scan/reference.ts";
import { memoryStep } from "../../kernels/memory-step/memory-step.ts";
import { memoryStepReference } from "../../kernels/memory-step/reference.ts";
import { latticeTable, metrics } from "../../kernels/metrics/metrics.ts";
import {
  coherenceReference,
  latticeCoherenceReference,
  pairsReference,
} from "../../kernels/metrics/reference.ts";
import { mixerStep } from "../../kernels/mixer-step/mixer-step.ts";
import { mixerStepReference } from "../../kernels/mixer-step/reference.ts";
import { keptReference } from "../../kernels/pack-weight/reference.ts";
import { shortConvReference } from "../../kernels/short-conv/reference.ts";
import { shortConv } from "../../kernels/short-conv/short-conv.ts";
import type { Bench, BenchCase } from "../harness/case.ts";
import { seeded } from "../random.ts";
import { type Given, randomFloats } from "./given.ts";
import { type KernelWork, kernelCase, promptRows } from "./kernel-case.ts";

const [ALPHA, GAIN] = [0.3, 0.7];
const PSI_THETA = [1.1, 0.4] as const;

/** A block of the default model, with one layer's state for each stream. */
function setUp(given: Given, { native }: Bench, run: RunShape) {
  const { size, taps, lattice } = native.shape;
  const { rows } = run;
  const layout = stateShape(native.shape, 1);
  const next = seeded(9);
  const decay: PairDecay[] = Array.from({ length: Math.ceil(size / 2) }, () => ({
    beta: 0.5 + 0.49 * next(),
    alpha: next(),
    lambda: 0.001 + 0.99 * next(),
    omega: 6 * next() - 3,
  }));
  const [psi, theta] = PSI_THETA;
  const angles = [Math.cos(psi), Math.sin(psi), Math.cos(theta), Math.sin(theta)];
  const data = {
    h: randomFloats(1, rows * size),
    mixed: randomFloats(2, rows * 2 * size),
    gates: randomFloats(3, rows * 2 * size, 0, 1),
    memory: randomFloats(4, rows * 2 * size),
    plm: randomFloats(5, rows * size),
    combine: randomFloats(6, 5 * size),
    state: randomFloats(7, (rows / run.length) * layout.slotStride),
    norm: randomFloats(8, 2 * size),
    conv: randomFloats(9, (taps + 1) * size),
  };
  const buffers = {
    run: given.run(run),
    schedule: given.schedule(Array.from({ length: rows }, () => angles).flat()),
    block: given.block(ALPHA, GAIN),
    decay: given.upload("decay", decayTable(decay).slice()),
    h: given.upload("h", data.h),
    mixed: given.upload("mixed", data.mixed),
    gates: given.upload("gates", data.gates),
    memory: given.upload("memory", data.memory),
    plm: given.upload("plm", data.plm),
    weights: given.upload("weights", data.combine),
    state: given.upload("state", data.state),
    norm: given.upload("norm", data.norm),
    conv: given.upload("conv", data.conv),
  };
  const memoriesAt = layout.tail * size;
  const start = {
    m: data.state.subarray(memoriesAt, memoriesAt + size),
    z: data.state.subarray(memoriesAt + size, memoriesAt + 2 * size),
  };
  return { size, taps, lattice, layout, decay, data, buffers, start, rows };
}

const oneRow: RunShape = { rows: 1, length: 1 };
const prefillRows = (bench: Bench): RunShape => {
  const rows = promptRows(bench);
  return { rows, length: rows };
};
const rowsOf = ({ rows }: RunShape): string => (rows === 1 ? "1 row" : `${rows} rows`);

const mixers = kernelCase("mixer-step", (given, bench) => {
  const { size, taps, layout, data, buffers } = setUp(given, bench, oneRow);
  const weight = randomFloats(10, 2 * size * size);
  const bias = randomFloats(11, 2 * size);
  const halves = bias.map((_, i) => bias[(i >> 1) + (i % 2) * size]!);
  const shared = { ...buffers, bias: given.upload("bias", halves) };
  return weightFormats.map((format): KernelWork => {
    const matrix = given.matrix(weight, [2 * size, size], format, true);
    const mixed = given.words("mixed", 2 * size);
    return {
      name: `mixer-step, native, 1 row, ${format}`,
      run: oneRow,
      lists: [[mixerStep(given.host, size, taps, layout, { ...shared, weight: matrix, mixed })]],
      bytes: matrixBytes(2 * size, size, format) + 4 * size * (2 + 2 + taps + 1 + layout.tail + 3),
      flops: 4 * size * size,
      async compare() {
        const kept = keptReference(weight, size, format);
        const tail = data.state.subarray(0, layout.tail * size);
        const weights = { norm: data.norm, conv: data.conv, weight: kept, bias };
        return [await given.floats(mixed, 0, 2 * size), mixerStepReference(data.h, tail, weights, size)];
      },
    };
  });
});

const memories = kernelCase("memory-step", (given, bench) => {
  const { size, layout, data, buffers, decay, start } = setUp(given, bench, oneRow);
  const weight = randomFloats(10, 3 * size * size);
  const bias = randomFloats(11, 3 * size);
  const shared = { ...buffers, bias: given.upload("bias", bias) };
  return weightFormats.map((format): KernelWork => {
    const matrix = given.matrix(weight, [3 * size, size], format);
    const out = {
      gates: given.words("gates", 2 * size),
      memory: given.words("memory", 2 * size),
      plm: given.words("plm", size),
    };
    return {
      name: `memory-step, native, 1 row, ${format}`,
      run: oneRow,
      lists: [[memoryStep(given.host, size, layout, true, { ...shared, ...out, weight: matrix })]],
      bytes: matrixBytes(3 * size, size, format) + 4 * size * (3 + 1 + 4 + 2 + 5),
      flops: 6 * size * size,
      async compare() {
        const kept = { weight: keptReference(weight, size, format), bias };
        const u = data.mixed.subarray(size);
        const right = memoryStepReference(u, decay, start, kept, true, size);
        const parts = [out.gates, out.memory, out.plm].map((buffer, i) =>
          given.floats(buffer, 0, i === 2 ? size : 2 * size),
        );
        const found = (await Promise.all(parts)).flatMap((part) => [...part]);
        return [found, [...right.pvmGate, ...right.plmGate, ...right.m, ...right.z, ...right.plm]];
      },
    };
  });
});

const memoriesAndSums = kernelCase("memory-combine", (given, bench) => {
  const { size, layout, data, buffers, decay, start } = setUp(given, bench, oneRow);
  const weight = randomFloats(10, 3 * size * size);
  const bias = randomFloats(11, 3 * size);
  const part = (i: number) => data.combine.subarray(i * size, (i + 1) * size);
  const vectors = given.upload("vectors", Float32Array.of(...bias, ...data.combine.subarray(2 * size)));
  return weightFormats.map((format): KernelWork => {
    const matrix = given.matrix(weight, [3 * size, size], format);
    // The sum takes the place of x, and the tail moves on, so each format has its own.
    const own = { mixed: given.upload("mixed", data.mixed), state: given.upload("state", data.state) };
    const all = { ...buffers, ...own, vectors, weight: matrix };
    return {
      name: `memory-combine, native, 1 row, ${format}`,
      run: oneRow,
      lists: [[memoryCombine(given.host, size, 1, layout, true, all)]],
      bytes: matrixBytes(3 * size, size, format) + 4 * size * (6 + 3 + 4 + 2 + 4 + 2 * layout.tail),
      flops: 6 * size * size,
      async compare() {
        const [psi, theta] = PSI_THETA;
        const [x, u] = [data.mixed.subarray(0, size), data.mixed.subarray(size)];
        const right = memoryCombineReference(
          { x, u, ...start, psi, theta },
          decay,
          { weight: keptReference(weight, size, format), bias },
          { cosine: part(2), sine: part(3), bias: part(4), alpha: ALPHA, gain: GAIN },
          { pvm: true, plm: true, gated: true },
        );
        return [await given.floats(own.mixed, 0, size), right.sum];
      },
    };
  });
});

const sumsAndUp = kernelCase("combine-up", (given, bench) => {
  const { size, layout, data, buffers } = setUp(given, bench, oneRow);
  const { inner } = bench.native.shape;
  const weight = randomFloats(10, 2 * inner * size);
  const bias = randomFloats(11, 2 * inner);
  const halves = bias.map((_, i) => bias[(i >> 1) + (i % 2) * inner]!);
  const norms = Float32Array.of(...data.combine.subarray(0, 2 * size), ...data.norm);
  const vectors = given.upload("vectors", Float32Array.of(...norms, ...halves));
  const out = { after: given.words("after", size), inner: given.words("inner", inner) };
  return weightFormats.map((format): KernelWork => {
    const matrix = given.matrix(weight, [2 * inner, size], format, true);
    const all = { ...buffers, ...out, vectors, weight: matrix };
    return {
      name: `combine-up, native, 1 row, ${format}`,
      run: oneRow,
      lists: [[combineUp(given.host, size, layout, all)]],
      bytes: matrixBytes(2 * inner, size, format) + 4 * (11 * size + 3 * inner),
      flops: 4 * inner * size,
      async compare() {
        const kept = keptReference(weight, size, format);
        const right = combineUpReference(data.mixed.subarray(0, size), data.h, { norms, weight: kept, bias });
        const [after, units] = await Promise.all([
          given.floats(out.after, 0, size),
          given.floats(out.inner, 0, inner),
        ]);
        return [
          [...after, ...units],
          [...right.after, ...right.inner],
        ];
      },
    };
  });
});

const conv = kernelCase("short-conv", (given, bench) => {
  const { size, taps, layout, data, buffers, rows } = setUp(given, bench, prefillRows(bench));
  const out = given.words("out", rows * size);
  const work: KernelWork = {
    name: `short-conv, native, ${rowsOf(prefillRows(bench))}`,
    run: prefillRows(bench),
    lists: [[shortConv(given.host, size, taps, layout, { ...buffers, out })]],
    bytes: 4 * size * (2 * rows + taps + 1 + layout.tail),
    flops: 2 * rows * size * (taps + 1),
    async compare() {
      const x = Float32Array.from({ length: rows * size }, (_, i) => {
        return data.mixed[Math.floor(i / size) * 2 * size + (i % size)]!;
      });
      const tail = data.state.subarray(0, layout.tail * size);
      const [w, b] = [data.conv.subarray(0, taps * size), data.conv.subarray(taps * size)];
      return [await given.floats(out, 0, rows * size), shortConvReference(x, tail, w, b, size)];
    },
  };
  return [work];
});

const scan = kernelCase("memory-scan", (given, bench) => {
  const { size, layout, data, buffers, decay, start, rows } = setUp(given, bench, prefillRows(bench));
  const memory = given.words("memory", 2 * rows * size);
  const ends = given.words("ends", Math.ceil(rows / 64) * Math.ceil(size / 2) * 4);
  const work: KernelWork = {
    name: `memory-scan, native, ${rowsOf(prefillRows(bench))}`,
    run: prefillRows(bench),
    lists: [memoryScan(given.host, size, layout, { ...buffers, ends, memory })],
    bytes: 4 * size * (3 * rows + 4 + 2),
    flops: 12 * rows * size,
    async compare() {
      const u = Float32Array.from({ length: rows * size }, (_, i) => {
        return data.mixed[(2 * Math.floor(i / size) + 1) * size + (i % size)]!;
      });
      const { m, z } = memoryReference(u, decay, start, size);
      const right = Array.from({ length: rows }, (_, row) => {
        const part = (values: Float64Array) => [...values.subarray(row * size, (row + 1) * size)];
        return [...part(m), ...part(z)];
      });
      return [await given.floats(memory, 0, 2 * rows * size), right.flat()];
    },
  };
  return [work];
});

const combining = kernelCase("combine", (given, bench) =>
  [oneRow, prefillRows(bench)].map((run): KernelWork => {
    const { size, layout, data, buffers, rows } = setUp(given, bench, run);
    const [psi, theta] = PSI_THETA;
    const part = (i: number) => data.combine.subarray(i * size, (i + 1) * size);
    return {
      name: `combine, native, ${rowsOf(run)}`,
      run,
      lists: [[combine(given.host, size, 1, layout, buffers)]],
      bytes: 4 * size * (rows * (2 + 2 + 2 + 1 + 2) + 5 + layout.tail + 2),
      flops: 30 * rows * size,
      async compare() {
        const weights = {
          norm: data.combine.subarray(0, 2 * size),
          cosine: part(2),
          sine: part(3),
          bias: part(4),
          alpha: ALPHA,
          gain: GAIN,
        };
        const right = Array.from({ length: rows }, (_, row) => {
          const [at, two] = [row * size, 2 * row * size];
          const first = (values: Float32Array) => values.subarray(two, two + size);
          const second = (values: Float32Array) => values.subarray(two + size, two + 2 * size);
          const given = {
            h: data.h.subarray(at, at + size),
            x: first(data.mixed),
            u: second(data.mixed),
            pvm: { m: first(data.memory), gate: first(data.gates), theta },
            plm: { out: data.plm.subarray(at, at + size), gate: second(data.gates) },
            psi,
          };
          return [...combineReference(given, weights)];
        });
        return [await given.floats(buffers.h), right.flat()];
      },
    };
  }),
);

const measures = kernelCase("metrics", (given, bench) => {
  const { size, data, buffers, lattice, rows } = setUp(given, bench, oneRow);
  const grid = lattice?.grid ?? [1, 1];
  const out = given.words("metrics", 4 * rows);
  const more = { lattice: given.upload("lattice", latticeTable(grid).slice()), metrics: out };
  const work: KernelWork = {
    name: `metrics, native, ${rowsOf(oneRow)}`,
    run: oneRow,
    lists: [[metrics(given.host, size, 1, true, lattice, { ...buffers, ...more })]],
    bytes: 4 * (3 * size + 2 * (grid[0] * grid[1]) ** 2 + 4),
    flops: 8 * (size / 2) * grid[0] * grid[1],
    async compare() {
      const m = data.memory.subarray(0, size);
      const mean = (values: Float32Array) => values.reduce((sum, value) => sum + Math.abs(value), 0) / size;
      const coherence = latticeCoherenceReference(data.memory.subarray(size, 2 * size), grid);
      const right = [
        coherenceReference(pairsReference(m)),
        coherence,
        mean(data.gates.subarray(0, size)),
        mean(m),
      ];
      return [await given.floats(out, 0, 4), right];
    },
  };
  return [work];
});

/** The kernels of a native block, at the default model's size. */
export const blockCases: readonly BenchCase[] = [
  mixers,
  memories,
  memoriesAndSums,
  sumsAndUp,
  conv,
  scan,
  combining,
  measures,
];
