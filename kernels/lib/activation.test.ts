import { expect, it } from "vitest";
import { poisoned, runDispatches, testGpu } from "../../test/gpu.ts";
import { dispatch, Kernel } from "../kernel.ts";
import { activationReference, erfReference } from "../linear/reference.ts";
import activation from "./activation.wgsl";
import sealed from "./sealed.wgsl";

const gpu = await testGpu();

/** The values of the function `name` at `points`. */
async function evaluate(name: string, points: Float32Array<ArrayBuffer>): Promise<Float32Array> {
  const code = `${sealed}${activation}
    @group(0) @binding(0) var<storage, read> given: array<f32>;
    @group(0) @binding(1) var<storage, read_write> found: array<f32>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
      if (id.x < arrayLength(&given)) {
        found[id.x] = ${name}(given[id.x]);
      }
    }`;
  const found = poisoned(gpu, "found", points.length);
  const call = dispatch(gpu, new Kernel(name, code), {}, [gpu.upload("given", points), found], ({ rows }) => [
    Math.ceil(rows / 64),
    1,
  ]);
  await runDispatches(gpu, [call], { rows: points.length, length: 1 });
  return gpu.readFloats(found);
}

const grid = Float32Array.from({ length: 200001 }, (_, i) => (i - 100000) / 10000);
const functions = { erf: erfReference, ...activationReference };

/** The largest error relative to the value, where the value counts as at least `least`. */
function largestError(
  values: Float32Array,
  points: Float32Array,
  right: (x: number) => number,
  least: number,
): number {
  return values.reduce((largest, value, i) => {
    const exact = right(points[i]!);
    return Math.max(largest, Math.abs(value - exact) / Math.max(least, Math.abs(exact)));
  }, 0);
}

it.each(["erf", "sigmoid", "gelu", "gelu_tanh", "relu", "silu"] as const)(
  "gives %s to 5e-7, relative to values above 1",
  async (name) => {
    expect(largestError(await evaluate(name, grid), grid, functions[name], 1)).toBeLessThan(5e-7);
  },
);

it("gives erf to 2e-7, close to 0 too, and exactly 1 where that is nearest", async () => {
  const points = Float32Array.of(-1e30, -4, 4, 5, 1e30, 0, 1e-20, -1e-10, 1e-5, 0.003);
  const values = await evaluate("erf", points);
  expect(Array.from(values.subarray(0, 6))).toEqual([-1, -1, 1, 1, 1, 0]);
  expect(largestError(await evaluate("erf", grid), grid, erfReference, 1e-30)).toBeLessThan(2e-7);
  expect(largestError(values, points, erfReference, 1e-30)).toBeLessThan(2e-7);
});

it.each(["gelu", "gelu_tanh", "relu", "silu"] as const)(
  "keeps %s finite however large its argument",
  async (name) => {
    const values = await evaluate(name, Float32Array.of(-1e30, -1e6, -80, 0, 80, 1e6, 1e30));
    expect(values.slice(0, 4).every((value) => Math.abs(value) < 1e-4)).toBe(true);
    expect(Array.from(values.slice(4))).toEqual(Array.from(Float32Array.of(80, 1e6, 1e30)));
  },
);

it("the reference's erf has the values that tables give", () => {
  const known = [
    [0, 0],
    [0.5, 0.5204998778130465],
    [1, 0.8427007929497149],
    [2, 0.9953222650189527],
    [3, 0.9999779095030014],
    [-1, -0.8427007929497149],
  ] as const;
  for (const [x, erf] of known) expect(erfReference(x)).toBeCloseTo(erf, 14);
});
