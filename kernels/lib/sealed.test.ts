import { expect, it } from "vitest";
import { poisoned, randomIntegers, runDispatches, testGpu } from "../../test/gpu.ts";
import { dispatch, Kernel } from "../kernel.ts";
import sealed from "./sealed.wgsl";

const gpu = await testGpu();

it("leaves every number that is not its key as it is, down to the sign of a zero", async () => {
  const special = [0, 0x80000000, 1, 0x80000001, 0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000];
  const words = Uint32Array.from([...special, ...randomIntegers(1, 1016, 2 ** 32)], (word) =>
    (word & 0x7fffffff) > 0x7f800000 ? word & 0xbfffffff : word,
  );
  const code = `${sealed}
    @group(0) @binding(0) var<storage, read> given: array<vec4f>;
    @group(0) @binding(1) var<storage, read_write> found: array<vec4u>;
    @compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3u) {
      let whole = bitcast<vec4u>(sealed4(given[id.x], SEAL + 2u));
      found[id.x] = vec4u(bitcast<u32>(sealed(given[id.x].x, SEAL)), whole.yzw);
    }`;
  const found = poisoned(gpu, "found", words.length);
  const kernel = new Kernel("sealed", code);
  const call = dispatch(gpu, kernel, {}, [gpu.upload("given", words), found], ({ rows }) => [rows, 1]);
  await runDispatches(gpu, [call], { rows: words.length / 4, length: 1 });
  expect(new Uint32Array(await gpu.read(found))).toEqual(words);
});
