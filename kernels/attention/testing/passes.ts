import { expect } from "vitest";
import type { Gpu } from "../../../engine/device/gpu.ts";
import {
  poisoned,
  randomFloats,
  runDispatches,
  untouched,
  uploadRun,
  uploadSchedule,
} from "../../../test/gpu.ts";
import type { Dispatch, RunShape } from "../../kernel.ts";
import type { AttentionBuffers, AttentionShape } from "../attention.ts";
import { attentionReference } from "../reference.ts";

/** The pass of a test: `length` rows of each stream from position `start`, with states in slots from `slot` on. */
export interface TestPass {
  readonly slot: number;
  readonly streams: number;
  readonly length: number;
  readonly start: number;
}

/** The input of the kernels. The cache is NaN wherever no row of the pass may look. */
export interface TestData {
  readonly qkv: Float32Array<ArrayBuffer>;
  readonly keys: Float32Array<ArrayBuffer>;
  readonly values: Float32Array<ArrayBuffer>;
}

export const runShapeOf = ({ streams, length }: TestPass): RunShape => ({ rows: streams * length, length });

export const rowWidth = ({ heads, kvHeads, headSize }: AttentionShape): number =>
  (heads + 2 * kvHeads) * headSize;

/** Floats of a slot of the cache. */
export const slotSize = ({ positions, kvHeads, headSize }: AttentionShape): number =>
  positions * kvHeads * headSize;

/** Queries up to `loud` in size, keys and values up to 1. */
export function dataOf(seed: number, shape: AttentionShape, pass: TestPass, loud = 1): TestData {
  const { rows } = runShapeOf(pass);
  const qkv = randomFloats(seed, rows * rowWidth(shape), -loud, loud);
  for (let row = 0; row < rows; row++) {
    qkv.fill(Number.NaN, row * rowWidth(shape) + shape.heads * shape.headSize, (row + 1) * rowWidth(shape));
  }
  const seen = ((pass.start + pass.length) * slotSize(shape)) / shape.positions;
  const cache = (seed: number) => {
    const values = new Float32Array((pass.slot + pass.streams + 1) * slotSize(shape)).fill(Number.NaN);
    for (let stream = 0; stream < pass.streams; stream++) {
      values.set(randomFloats(seed + stream, seen), (pass.slot + stream) * slotSize(shape));
    }
    return values;
  };
  return { qkv, keys: cache(seed + 100), values: cache(seed + 200) };
}

/** The reference's `[rows, H · headSize]`. */
export function expectedOf(shape: AttentionShape, pass: TestPass, data: TestData): number[] {
  return Array.from({ length: pass.streams }, (_, stream) => {
    const size = pass.length * rowWidth(shape);
    const base = (pass.slot + stream) * slotSize(shape);
    return Array.from(
      attentionReference(
        data.qkv.subarray(stream * size, (stream + 1) * size),
        data.keys.subarray(base),
        data.values.subarray(base),
        pass.start,
        shape,
      ),
    );
  }).flat();
}

/** `[rows, H · headSize]`, written into poisoned memory; checks that nothing beyond it has changed. */
export async function attend(
  gpu: Gpu,
  shape: AttentionShape,
  pass: TestPass,
  data: TestData,
  make: (buffers: AttentionBuffers) => Dispatch[],
): Promise<Float32Array> {
  const run = runShapeOf(pass);
  const count = run.rows * shape.heads * shape.headSize;
  const buffers = {
    run: uploadRun(gpu, run, pass.slot, Math.max(0, pass.start - 2)),
    // The third step of a schedule, where the position allows it.
    schedule: uploadSchedule(gpu, Math.min(2, pass.start)),
    qkv: gpu.upload("qkv", data.qkv),
    keys: gpu.upload("keys", data.keys),
    values: gpu.upload("values", data.values),
    out: poisoned(gpu, "out", count + 64),
  };
  await runDispatches(gpu, make(buffers), run);
  const values = await gpu.readFloats(buffers.out);
  for (const buffer of Object.values(buffers)) buffer.destroy();
  expect(untouched(values, count)).toBe(true);
  return values.subarray(0, count);
}

/** The part of a pass with `length` rows of one stream from its row `first` on, and its rows of `data`. */
export function partOf(
  shape: AttentionShape,
  pass: TestPass,
  data: TestData,
  [stream, first, length]: readonly [stream: number, first: number, length: number],
): [pass: TestPass, data: TestData] {
  const from = (stream * pass.length + first) * rowWidth(shape);
  const hidden = (cache: Float32Array<ArrayBuffer>) => {
    const size = slotSize(shape);
    const base = (pass.slot + stream) * size;
    const end = base + ((pass.start + first + length) * size) / shape.positions;
    return cache.map((value, i) => (i >= base && i < end ? value : Number.NaN));
  };
  return [
    { slot: pass.slot + stream, streams: 1, length, start: pass.start + first },
    {
      qkv: data.qkv.slice(from, from + length * rowWidth(shape)),
      keys: hidden(data.keys),
      values: hidden(data.values),
    },
  ];
}
