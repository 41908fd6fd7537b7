import { LAGS, lagAlignment, readScore } from "../../kernels/lag-alignment/lag-alignment.ts";
import { lagAlignmentReference } from "../../kernels/lag-alignment/reference.ts";
import { linearReference } from "../../kernels/linear/reference.ts";
import {
  fadeTable,
  memoryWindow,
  type PairFade,
  planarWidth,
  toPlanar,
} from "../../kernels/memory-window/memory-window.ts";
import { memoryWindowReference } from "../../kernels/memory-window/reference.ts";
import { segmentCosineReference } from "../../kernels/segment-cosine/reference.ts";
import { latticeRows, segmentCosine } from "../../kernels/segment-cosine/segment-cosine.ts";
import type { BenchCase } from "../harness/case.ts";
import { seeded } from "../random.ts";
import { randomFloats, randomIntegers } from "./given.ts";
import { type KernelWork, kernelCase } from "./kernel-case.ts";

/** Positions in one part of a search, and segments of a needle of 48 tokens. */
const ROWS = 1024;
const SEGMENTS = 12;
const SPAN = 4;
const run = { rows: ROWS, length: ROWS };

const windows = kernelCase("memory-window", (given, { native }) => {
  const { size } = native.shape;
  const [slots, width] = [native.vocabulary, planarWidth(size)];
  const next = seeded(1);
  const fades = Array.from({ length: Math.ceil(size / 2) }, (): PairFade => {
    const [beta, modulus, angle] = [0.3 + 0.69 * next(), 0.3 + 0.69 * next(), 6 * next()];
    return { beta, alpha: 1, re: modulus * Math.cos(angle), im: modulus * Math.sin(angle), drive: 1 };
  });
  const features = randomFloats(1, slots * size);
  const planar = new Float32Array(slots * width);
  for (let slot = 0; slot < slots; slot++) {
    planar.set(toPlanar(features.subarray(slot * size, (slot + 1) * size)), slot * width);
  }
  const tokens = randomIntegers(2, SPAN - 1 + ROWS, slots);
  const out = { windows: given.words("windows", ROWS * 2 * width), scales: given.words("scales", 2 * ROWS) };
  const buffers = {
    features: given.upload("features", planar),
    slots: given.upload("slots", tokens),
    fades: given.upload("fades", fadeTable(fades, size, SPAN)),
  };
  const work: KernelWork = {
    name: `memory-window, native, ${ROWS} positions`,
    run,
    lists: [[memoryWindow(given.host, size, SPAN, { ...buffers, ...out })]],
    bytes: 4 * (slots * width + ROWS * (2 * width + 3) + fades.length * 5),
    flops: ROWS * SPAN * 6 * size,
    async compare() {
      const some = 32 + SPAN - 1;
      const u = new Float32Array(some * size);
      for (let t = 0; t < some; t++) {
        const at = tokens[t]! * size;
        u.set(features.subarray(at, at + size), t * size);
      }
      const all = memoryWindowReference(u, fades, size, SPAN);
      const right = Array.from({ length: 64 }, (_, i) => {
        const start = (2 * (SPAN - 1) + i) * size;
        return [...toPlanar(all.subarray(start, start + size))];
      });
      const lengths = await given.floats(out.scales, 0, 64);
      const found = await given.floats(out.windows, 0, 64 * width);
      return [found.map((value, i) => value * lengths[Math.floor(i / width)]!), right.flat()];
    },
  };
  return [work];
});

const cosines = kernelCase("segment-cosine", (given, { native }) => {
  const { size } = native.shape;
  const some = 16;
  const all = randomFloats(1, SEGMENTS * 2 * size);
  const window = randomFloats(2, some * 2 * size);
  const scales = randomFloats(3, 2 * ROWS, 0.5, 2);
  const part = (i: number) => all.slice(i * size, (i + 1) * size);
  const segments = Array.from({ length: SEGMENTS }, (_, s) => s);
  const pvm = segments.flatMap((s) => [...part(2 * s)]);
  const plm = segments.flatMap((s) => [...latticeRows(part(2 * s + 1))]);
  const products = randomFloats(4, ROWS * 3 * SEGMENTS);
  for (let row = 0; row < some; row++) {
    const at = 2 * row * size;
    const [first, second] = [window.subarray(at, at + size), window.subarray(at + size, at + 2 * size)];
    products.set(linearReference(first, pvm, undefined, [1, SEGMENTS, size]), 3 * row * SEGMENTS);
    products.set(linearReference(second, plm, undefined, [1, 2 * SEGMENTS, size]), (3 * row + 1) * SEGMENTS);
  }
  const out = given.words("cosines", ROWS * SEGMENTS * 2);
  const buffers = {
    rows: given.host.uniform("rows", Uint32Array.of(ROWS, 0, 0, 0)),
    products: given.upload("products", products),
    scales: given.upload("scales", scales),
    cosines: out,
  };
  const work: KernelWork = {
    name: `segment-cosine, ${SEGMENTS} segments, ${ROWS} positions`,
    run,
    lists: [[segmentCosine(given.host, SEGMENTS, ROWS, buffers)]],
    bytes: 4 * ROWS * (5 * SEGMENTS + 2),
    flops: 6 * ROWS * SEGMENTS,
    async compare() {
      const right = Array.from({ length: some }, (_, row) =>
        segments.flatMap((s) =>
          segmentCosineReference(
            window.subarray(2 * row * size, 2 * (row + 1) * size),
            all.subarray(2 * s * size, 2 * (s + 1) * size),
          ).map((cosine, memory) => cosine * scales[2 * row + memory]!),
        ),
      );
      return [await given.floats(out, 0, some * SEGMENTS * 2), right.flat()];
    },
  };
  return [work];
});

const alignment = kernelCase("lag-alignment", (given) => {
  const ends = Array.from({ length: SEGMENTS }, (_, i) => SPAN * (i + 1) - 1);
  const ring = ROWS + ends.at(-1)! + LAGS + 1;
  const held = randomFloats(1, ring * SEGMENTS * 2);
  const scores = given.words("scores", ROWS);
  const shape = { cues: 1, modes: 1, segments: SEGMENTS, ring };
  const buffers = {
    positions: given.host.uniform("positions", Uint32Array.of(ROWS, 0, 0, ROWS)),
    cosines: given.upload("cosines", held),
    cues: given.upload("cues", Uint32Array.of(0, SEGMENTS, LAGS, 0)),
    ends: given.upload("ends", Uint32Array.from(ends)),
    modes: given.upload("modes", Float32Array.of(0.5, 0.5)),
    scores,
  };
  const work: KernelWork = {
    name: `lag-alignment, ${SEGMENTS} segments, ${ROWS} positions`,
    run,
    lists: [[lagAlignment(given.host, shape, buffers)]],
    bytes: 4 * (ring * SEGMENTS * 2 + ROWS),
    flops: ROWS * SEGMENTS * (2 * LAGS + 1) * (2 * (2 * LAGS + 1) + 3),
    async compare() {
      const right = Array.from({ length: 64 }, (_, p) => {
        const cosine = (i: number, lag: number): number => {
          const row = p + ends[i]! + lag;
          const at = (row * SEGMENTS + i) * 2;
          return row < 0 ? 0 : 0.5 * held[at]! + 0.5 * held[at + 1]!;
        };
        return lagAlignmentReference(SEGMENTS, LAGS, cosine).similarity;
      });
      const found = await given.integers(scores);
      return [Array.from(found.subarray(0, 64), (score) => readScore(score).similarity), right];
    },
    tolerance: 2e-5,
  };
  return [work];
});

/** The kernels of a search, except its products, for one needle of 48 tokens. */
export const retrievalKernelCases: readonly BenchCase[] = [windows, cosines, alignment];
