import { afterEach, describe, expect, it } from "vitest";
import { modelInfo } from "../../api/responses.ts";
import { testGpu } from "../../test/gpu.ts";
import { generated, loadTiny } from "../../test/models.ts";
import { requestAdapter } from "../platform/node/device.ts";
import { checkAgreement } from "./check-agreement.ts";
import { Gpu } from "./gpu.ts";

const own: Gpu[] = [];
async function ownGpu(): Promise<Gpu> {
  const gpu = await Gpu.open(await requestAdapter());
  own.push(gpu);
  return gpu;
}
afterEach(() => {
  for (const gpu of own.splice(0)) gpu.destroy();
});

describe("the check of rows against tiles", () => {
  it("finds the same bits on this adapter, and leaves nothing on it", async () => {
    const gpu = await testGpu();
    const before = gpu.bytes;
    const compared: string[] = [];
    expect(await checkAgreement(gpu)).toEqual({ shownBy: "check", differing: [] });
    const failed = await checkAgreement(gpu, (what, rows, tiles) => {
      compared.push(what);
      expect(tiles.length).toBe(rows.length);
      return !["products in q8", "attention"].includes(what);
    });
    expect(failed).toEqual({ shownBy: "check", differing: ["products in q8", "attention"] });
    expect([...new Set(compared)]).toEqual([
      ...["f32", "f16", "q8", "q4"].map((format) => `products in ${format}`),
      ...["gated", "swiglu", "sigmoid", "gelu", "gelu_tanh", "silu"].map((name) => `epilogue ${name}`),
      "norms",
      "attention",
    ]);
    expect(gpu.bytes).toBe(before);
  });

  it("notices one bit, and a number that was not written", async () => {
    const gpu = await testGpu();
    const { read } = gpu;
    for (const word of [0, 0x7fc00000]) {
      let reads = 0;
      gpu.read = async (...args) => {
        const bytes = await read.apply(gpu, args);
        const words = new Uint32Array(bytes);
        if (reads++ === 5) words[3] = word || words[3]! ^ 1;
        return bytes;
      };
      expect((await checkAgreement(gpu)).differing).toEqual(["products in f32"]);
    }
    gpu.read = read;
  });
});

describe("a device whose tiles give other bits than its rows", () => {
  it("decodes batches a row at a time, feeds every prompt in the same tiles, and says so", async () => {
    const gpu = await ownGpu();
    const standard = await loadTiny(gpu, { slots: 9 });
    expect(modelInfo(standard).bit_agreement).toEqual({ shown_by: "tests", differing: [] });
    const said = (model: typeof standard) =>
      Promise.all(
        Array.from({ length: 9 }, (_, seed) =>
          generated(model, [65], { maxTokens: 4, temperature: 1, seed }),
        ),
      );
    const labels = new Set<string>();
    const { record } = gpu;
    gpu.record = (encoder, dispatches, run) => {
      for (const { label } of dispatches)
        labels.add(`${run.length === 1 && run.rows > 1 ? "batch" : "other"} ${label}`);
      record.call(gpu, encoder, dispatches, run);
    };
    const inTiles = (): string[] => [...labels].filter((label) => /^batch linear-(?!row)/.test(label));
    const before = await said(standard);
    expect(inTiles()).not.toEqual([]);
    labels.clear();
    gpu.agreement = { shownBy: "check", differing: ["products in f32"] };
    const model = await loadTiny(gpu, { slots: 9 });
    const after = await said(model);
    expect(inTiles()).toEqual([]);
    expect(after.map(({ tokens }) => tokens)).toEqual(before.map(({ tokens }) => tokens));
    expect(modelInfo(model).bit_agreement).toEqual({ shown_by: "check", differing: ["products in f32"] });
  });

  it("feeds even one token of a prompt as prompts are fed", async () => {
    const gpu = await ownGpu();
    const passes: number[] = [];
    const { record } = gpu;
    gpu.record = (encoder, dispatches, run) => {
      if (dispatches.some(({ label }) => label.startsWith("memory-scan"))) passes.push(run.rows);
      record.call(gpu, encoder, dispatches, run);
    };
    await generated(await loadTiny(gpu), [65], { maxTokens: 1 });
    expect(passes).toEqual([]);
    gpu.agreement = { shownBy: "check", differing: ["norms"] };
    await generated(await loadTiny(gpu), [65], { maxTokens: 1 });
    expect(passes).toContain(1);
  });
});
