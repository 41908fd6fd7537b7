import { expect, it } from "vitest";
import {
  firstDifference,
  looseState,
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
import { shortConvReference } from "./reference.ts";
import { shortConv } from "./short-conv.ts";

const gpu = await testGpu();
const [slot, layer, layers, slots] = [2, 1, 2, 6];

/** The convolution of `streams` streams' `x` `[streams, length, D]`, with the state they are read from. */
async function run(x: Float32Array, streams: number, taps: number, size: number, state: Float32Array) {
  const rows = x.length / size;
  const shape = { rows, length: rows / streams };
  const layout = looseState(size, layers, Math.max(0, taps - 1), { pvm: true, plm: false });
  const mixed = new Float32Array(2 * x.length).fill(Number.NaN);
  for (let row = 0; row < rows; row++) {
    mixed.set(x.subarray(row * size, (row + 1) * size), 2 * row * size);
  }
  const out = poisoned(gpu, "out", x.length + 64);
  const conv = randomFloats(taps, (taps + 1) * size);
  await runDispatches(
    gpu,
    [
      shortConv(gpu, size, taps, layout, {
        run: uploadRun(gpu, shape, slot),
        schedule: uploadSchedule(gpu, 0),
        block: uploadBlock(gpu, layer),
        mixed: gpu.upload("mixed", mixed),
        state: poisoned(gpu, "state", slots * layout.slotStride, state),
        conv: gpu.upload("conv", conv),
        out,
      }),
    ],
    shape,
  );
  const values = await gpu.readFloats(out);
  expect(untouched(values, x.length)).toBe(true);
  return { conv, values: values.subarray(0, x.length) };
}

const cases: [size: number, taps: number, streams: number, length: number][] = [
  [1, 4, 1, 1],
  [2, 3, 2, 2],
  [33, 4, 3, 7],
  [65, 1, 2, 5],
  [64, 2, 1, 200],
  [48, 0, 2, 3],
  [769, 4, 1, 31],
  [63, 9, 4, 3],
];

it.each(cases)(
  "agrees with the reference, D %i, k %i, %i streams of %i",
  async (size, taps, streams, length) => {
    const x = randomFloats(size, streams * length * size);
    const tail = Math.max(0, taps - 1) * size;
    const layout = looseState(size, layers, Math.max(0, taps - 1), { pvm: true, plm: false });
    const state = randomFloats(size + 1, slots * layout.slotStride);
    const { conv, values } = await run(x, streams, taps, size, state);
    for (let stream = 0; stream < streams; stream++) {
      const base = (slot + stream) * layout.slotStride + layer * layout.layerStride;
      const part = [stream * length * size, (stream + 1) * length * size] as const;
      const expected = shortConvReference(
        x.subarray(...part),
        state.subarray(base, base + tail),
        conv.subarray(0, taps * size),
        conv.subarray(taps * size),
        size,
      );
      expect(relativeError(values.subarray(...part), expected)).toBeLessThan(1e-6);
    }
  },
);

it("gives the same bits when a prompt is cut anywhere", async () => {
  const [size, taps, length] = [33, 4, 20];
  const layout = looseState(size, layers, taps - 1, { pvm: true, plm: false });
  const start = slot * layout.slotStride + layer * layout.layerStride;
  const state = randomFloats(1, slots * layout.slotStride);
  const x = randomFloats(2, length * size);
  const whole = await run(x, 1, taps, size, state);
  for (const cut of [3, 11, 19]) {
    const later = state.slice();
    later.set(x.subarray((cut - taps + 1) * size, cut * size), start);
    const rest = await run(x.subarray(cut * size), 1, taps, size, later);
    expect(firstDifference(rest.values, whole.values.subarray(cut * size))).toBe(-1);
  }
});
