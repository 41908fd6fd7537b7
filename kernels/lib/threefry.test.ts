import { expect, it } from "vitest";
import { poisoned, randomIntegers, runDispatches, testGpu } from "../../test/gpu.ts";
import { dispatch, Kernel } from "../kernel.ts";
import { threefryReference } from "../sample/reference.ts";
import order from "./order.wgsl";
import threefry from "./threefry.wgsl";

const gpu = await testGpu();

/** Runs `expression` of `vec4u v` on each four words; returns four words for each. */
async function evaluate(name: string, library: string, expression: string, words: Uint32Array<ArrayBuffer>) {
  const code = `${library}
    @group(0) @binding(0) var<storage, read> given: array<vec4u>;
    @group(0) @binding(1) var<storage, read_write> found: array<vec4u>;
    @compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3u) {
      let v = given[id.x];
      found[id.x] = ${expression};
    }`;
  const found = poisoned(gpu, "found", words.length);
  const call = dispatch(gpu, new Kernel(name, code), {}, [gpu.upload("given", words), found], ({ rows }) => [
    rows,
    1,
  ]);
  await runDispatches(gpu, [call], { rows: words.length / 4, length: 1 });
  return new Uint32Array(await gpu.read(found));
}

/** Random123's known answers: key, counter, result. */
const known = [
  [
    [0, 0],
    [0, 0],
    [0x6b200159, 0x99ba4efe],
  ],
  [
    [0xffffffff, 0xffffffff],
    [0xffffffff, 0xffffffff],
    [0x1cb996fc, 0xbb002be7],
  ],
  [
    [0x13198a2e, 0x03707344],
    [0x243f6a88, 0x85a308d3],
    [0xc4923a9c, 0x483df7a0],
  ],
] as const;

it("Threefry gives Random123's known answers in the reference", () => {
  for (const [key, counter, answer] of known) expect(threefryReference(key, counter)).toEqual(answer);
});

it("Threefry gives the same words in WGSL", async () => {
  const words = randomIntegers(1, 400, 2 ** 32);
  words.set(known.flatMap(([key, counter]) => [...key, ...counter]));
  const found = await evaluate("threefry", threefry, "vec4u(threefry(v.xy, v.zw), 0, 0)", words);
  for (let i = 0; i < words.length; i += 4) {
    const expected = threefryReference([words[i]!, words[i + 1]!], [words[i + 2]!, words[i + 3]!]);
    expect([found[i], found[i + 1]]).toEqual(expected);
  }
});

it("multiply_high gives the upper word of a product", async () => {
  const words = randomIntegers(2, 400, 2 ** 32);
  words.set([0xffffffff, 0xffffffff, 0, 0, 0xffffffff, 1, 0, 0, 0x10000, 0x10000, 0, 0, 0xffff, 0xffff0001]);
  const found = await evaluate("multiply-high", threefry, "vec4u(multiply_high(v.x, v.y))", words);
  for (let i = 0; i < words.length; i += 4) {
    expect(BigInt(found[i]!)).toBe((BigInt(words[i]!) * BigInt(words[i + 1]!)) >> 32n);
  }
});

it("sort_key orders floats as numbers, and is_finite tells infinities and NaN", async () => {
  const floats = Float32Array.of(-3e38, -1, -1e-30, 0, 1e-30, 0.5, 1, 3e38, Infinity, -Infinity, NaN, 7);
  const words = new Uint32Array(floats.buffer);
  const fours = new Uint32Array(4 * words.length);
  words.forEach((word, i) => {
    fours[4 * i] = word;
  });
  const expression = "vec4u(sort_key(bitcast<f32>(v.x)), u32(is_finite(bitcast<f32>(v.x))), 0, 0)";
  const found = await evaluate("order", order, expression, fours);
  const keys = found.filter((_, i) => i % 4 === 0);
  for (let i = 1; i < 8; i++) expect(keys[i]!).toBeGreaterThan(keys[i - 1]!);
  const finite = Array.from(found.filter((_, i) => i % 4 === 1));
  expect(finite).toEqual(Array.from(floats, (x) => Number(Number.isFinite(x))));
});
