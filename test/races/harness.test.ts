import { describe, expect, it } from "vitest";
import { firstDifference, testGpu } from "../gpu.ts";
import { compile, type RecordedDispatch, replay } from "./record.ts";
import { orders, removals, reordered, usual } from "./rewrite.ts";

describe("the tests of races", () => {
  const HEAD = "@group(0) @binding(0) var<storage, read_write> out: array<u32>;";
  const IDS = "@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32";

  /** The numbers of the orders, without the usual one, in which a kernel that writes `out` differs. */
  async function differing(code: string, workgroups = 1): Promise<number[]> {
    const { device } = await testGpu();
    const { pipeline, error } = compile(device, `${HEAD}\n${code}`, {});
    expect(await error).toBeUndefined();
    const copies = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const copy = device.createBuffer({ size: 4 * 64 * workgroups, usage: copies });
    const dispatch: RecordedDispatch = {
      grid: [workgroups, 1],
      bindings: [{ buffer: 0, offset: 0, size: undefined }],
      buffers: [{ copy, usage: GPUBufferUsage.STORAGE | copies, written: true }],
    };
    const [expected, ...others] = await replay(device, pipeline, dispatch, [usual, ...orders]);
    return orders.flatMap((_, i) => (firstDifference(others[i]!, expected!) < 0 ? [] : [i]));
  }
  const ALL = orders.map((_, i) => i);

  const sum = (barrier: string, write = "shared_values[lane] = lane * lane + group.x;") => `
var<workgroup> shared_values: array<u32, 64>;
@compute @workgroup_size(64)
fn main(${IDS}) {
  ${write}
  ${barrier}
  var total = 0u;
  for (var i = 0u; i < 64u; i++) {
    total += shared_values[i];
  }
  out[group.x * 64u + lane] = total;
}`;

  it("find nothing in a kernel without races", async () => {
    expect(await differing(sum("workgroupBarrier();"), 5)).toEqual([]);
  });

  it("see that a barrier is missing, also where the usual order hides it", async () => {
    expect(await differing(sum(""))).toEqual(ALL);
    const first = "if (lane == 0u) { for (var i = 0u; i < 64u; i++) { shared_values[i] = 3u; } }";
    expect(await differing(sum("", first))).toContain(0);
    expect(await differing(sum("workgroupBarrier();", first))).toEqual([]);
  });

  it("see that memory is read before it is written", async () => {
    expect(
      await differing(sum("workgroupBarrier();", "if (lane < 9u) { shared_values[lane] = 1u; }")),
    ).toEqual(ALL);
  });

  it("see that invocations write the same place", async () => {
    const code = `@compute @workgroup_size(64) fn main(${IDS}) { out[group.x] = lane; }`;
    expect(await differing(code)).toContain(0);
  });

  it("see that a workgroup reads what another one writes", async () => {
    const code = `@compute @workgroup_size(64) fn main(${IDS}) {
      if (lane == 0u) { out[group.x + 1u] = out[group.x] + 1u; }
    }`;
    expect(await differing(code, 64)).toContain(0);
  });

  it("take each barrier out of a text, and nothing else", () => {
    const texts = removals(`// workgroupBarrier();
fn a() { workgroupBarrier(); }
fn b() -> u32 { storageBarrier(); return workgroupUniformLoad(&x[3]); }`);
    expect(texts.map(({ barrier }) => barrier)).toEqual([
      "workgroupBarrier() 1 (in a)",
      "storageBarrier() 2 (in b)",
      "workgroupUniformLoad(&x[3]) 3 (in b)",
    ]);
    expect(texts[2]!.code).toContain("storageBarrier(); return (x[3]);");
    expect(texts[0]!.code).toContain("fn a() { no_barrier(); }\nfn b() -> u32 { storageBarrier(); return");
  });

  it("give each invocation the ids of one other, in workgroups and grids of several dimensions", async () => {
    const code = `${HEAD}
struct Ids {
  @builtin(local_invocation_id) local: vec3u,
  @builtin(global_invocation_id) all: vec3u,
}
override WIDE: u32 = 3;
@compute @workgroup_size(WIDE, 2)
fn main(ids: Ids, @builtin(local_invocation_index) lane: u32, @builtin(num_workgroups) groups: vec3u, @builtin(workgroup_id) group: vec3u) {
  let right = all(ids.all == group * vec3u(WIDE, 2u, 1u) + ids.local) && lane == ids.local.y * WIDE + ids.local.x;
  out[(group.y * groups.x + group.x) * 6u + lane] += select(100u, 1u, right);
}`;
    const { device } = await testGpu();
    const { pipeline, error } = compile(device, code, {});
    expect(await error).toBeUndefined();
    const copies = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const copy = device.createBuffer({ size: 4 * 6 * 35, usage: copies });
    const results = await replay(
      device,
      pipeline,
      {
        grid: [5, 7],
        bindings: [{ buffer: 0, offset: 0, size: undefined }],
        buffers: [{ copy, usage: GPUBufferUsage.STORAGE | copies, written: true }],
      },
      [usual, ...orders],
    );
    for (const words of results) expect(new Set(words)).toEqual(new Set([1]));
  });

  it("refuse a text that they cannot reorder", () => {
    const text = (type: string, id: string): string =>
      `var<workgroup> x: ${type};\n@compute @workgroup_size(64)\nfn main(@builtin(${id}) id: u32) {}`;
    expect(() => reordered(text("Pair", "local_invocation_index"))).toThrow("how to fill Pair is not known");
    expect(() => reordered(text("f32", "vertex_index"))).toThrow("what vertex_index is in another order");
  });
});
