import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ResonantError } from "../common/errors.ts";
import { relativeError, testGpu } from "../test/gpu.ts";
import { fixturePath, openFixture, openGolden, readJson } from "../test/models.ts";
import { readAdapters } from "../weights/adapters.ts";
import { loadAdapter } from "./adapter.ts";
import { checkGolden, loadGolden, runBlock } from "./goldens.ts";
import type { Runner } from "./runner/runner.ts";
import { stateShape } from "./state/state-pool.ts";
import { renamedTensors, type Tensors } from "./tensors.ts";

const NAMES = readdirSync(fixturePath("goldens"))
  .filter((file) => file.endsWith(".safetensors"))
  .map((file) => file.slice(0, -".safetensors".length));
const AFRB = NAMES.filter((name) => name.startsWith("afrb_") && name !== "afrb_conv_pvm");
const NATIVE = NAMES.filter((name) => name.startsWith("native_"));

describe("golden blocks", () => {
  it("are all the reference's cases", () => {
    const cases = readJson("goldens/afrb_cases.json") as { file: string }[];
    const files = cases.map(({ file }) => file.replace(".safetensors", ""));
    expect(AFRB.concat("afrb_conv_pvm").sort()).toEqual(files.sort());
  });

  it.each(AFRB)("%s comes out within 1e-5 as one pass and token by token", async (name) => {
    const { pass, step } = await checkGolden(await testGpu(), await openGolden(name), "afrb");
    expect(pass).toBeLessThan(1e-5);
    expect(step).toBeLessThan(1e-5);
  });

  it("with a Conv1d mixer is refused by the name of its tensor", async () => {
    const checked = checkGolden(await testGpu(), await openGolden("afrb_conv_pvm"), "afrb");
    const error = await checked.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ResonantError);
    expect(error).toMatchObject({ code: "unsupported", message: expect.stringContaining("Conv1d") });
    expect((error as ResonantError).where).toMatch(/mixer\.weight$/);
  });

  it("with lattice tensors are refused by the tensor's name", async () => {
    const gpu = await testGpu();
    const shapes = new Map([["phase_lattice.beta", [4]]]);
    const read = async () => new Float32Array(4);
    const tensors: Tensors = { name: "a.pt", shapes, read, async *chunks() {} };
    await expect(loadAdapter(gpu, tensors, {}, 1)).rejects.toMatchObject({
      code: "unsupported",
      where: "a.pt: phase_lattice.beta",
    });
  });
});

describe("golden native models", () => {
  it("are five", () => expect(NATIVE).toHaveLength(5));

  it.each(NATIVE)("%s gives its logits within 1e-5 as one pass and token by token", async (name) => {
    const { pass, step } = await checkGolden(await testGpu(), await openGolden(name), "native");
    expect(pass).toBeLessThan(1e-5);
    expect(step).toBeLessThan(1e-5);
  });

  it.each(NATIVE)(
    "%s leaves its state and measures R, coherence and gate as they should be",
    async (name) => {
      const gpu = await testGpu();
      const file = await openGolden(name);
      const { runner, ids, start } = await loadGolden(gpu, file, "f32");
      const layers = runner.weights.blocks.length;
      const pass = runner.pass(0, start, ids, ids.length, { measure: true });
      const passed = await pass.readFloats("metrics", 0, ids.length * layers * 4);
      const stepped: number[] = [];
      for (const [t, id] of ids.entries()) {
        const after = runner.step(1, start + t, id, true);
        stepped.push(...(await after.readFloats("metrics", 0, layers * 4)));
      }
      for (const measures of [passed, stepped]) {
        for (const [which, tensor] of ["order_parameter", "plm_coherence", "pvm_gate"].entries()) {
          const found = Array.from(measures).filter((_, i) => i % 4 === which);
          expect(relativeError(found, await file.float32(tensor)), tensor).toBeLessThan(1e-5);
        }
      }
      for (const slot of [0, 1]) {
        const { state, counts } = await runner.pool.read(slot);
        for (const [tensor, part] of stateParts(runner, state)) {
          expect(relativeError(part, await file.float32(tensor)), `${tensor} in slot ${slot}`).toBeLessThan(
            1e-5,
          );
        }
        expect(Array.from(counts)).toEqual(
          Array.from(counts, (_, token) => ids.filter((id) => id === token).length),
        );
      }
    },
  );
});

/** A slot's parts by their names in a golden file, those that are not empty. */
function stateParts({ weights }: Runner, state: Float32Array): [string, Float32Array][] {
  const { layerStride, tail } = stateShape(weights.shape, weights.blocks.length);
  const d = weights.shape.size;
  return weights.blocks.flatMap((_, layer): [string, Float32Array][] => {
    const own = state.subarray(layer * layerStride, (layer + 1) * layerStride);
    const parts: [string, Float32Array][] = [
      [`state.${layer}.conv`, own.subarray(0, tail * d)],
      [`state.${layer}.pvm`, own.subarray(tail * d, (tail + 1) * d)],
      [`state.${layer}.plm`, own.subarray((tail + 1) * d)],
    ];
    return parts.filter(([, part]) => part.length > 0);
  });
}

describe("the check of a golden file fails when any one weight is 1% off", () => {
  it.each([
    // Neither is a weight: a count of training steps, and a memory that every request finds empty.
    ["afrb_glu_pvm_strong", "afrb", "state.", ["global_step", "pvm.mem_state"]],
    ["native_grid2x4", "native", "weights.", []],
  ] as const)(
    "in %s",
    async (name, kind, prefix, exempt) => {
      const gpu = await testGpu();
      const file = await openGolden(name);
      const weights = [...file.tensors.keys()]
        .filter((tensor) => tensor.startsWith(prefix))
        .map((tensor) => tensor.slice(prefix.length))
        .filter((tensor) => !(exempt as readonly string[]).includes(tensor));
      expect(weights.length).toBeGreaterThan(12);
      const unnoticed: string[] = [];
      for (const weight of weights) {
        const { pass, step } = await checkGolden(gpu, file, kind, scaled(weight, 1.01));
        if (!(pass > 1e-5 && step > 1e-5)) unnoticed.push(`${weight}: ${pass}, ${step}`);
      }
      expect(unnoticed).toEqual([]);
    },
    300_000,
  );
});

const scaled =
  (weight: string, factor: number) =>
  (tensors: Tensors): Tensors => {
    const change = (name: string, values: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> =>
      name === weight ? values.map((value) => value * factor) : values;
    return {
      ...tensors,
      read: async (name) => change(name, await tensors.read(name)),
      async *chunks(name, width) {
        for await (const { first, values } of tensors.chunks(name, width)) {
          yield { first, values: change(name, values) };
        }
      },
    };
  };

describe("a checkpoint's adapters in a chain", () => {
  // The 16-bit files hold the tensors rounded, 11 and 8 bits of them.
  it.each([
    ["adapters_d32_zip.pt", 1e-5],
    ["adapters_d32_legacy.pt", 1e-5],
    ["adapters_d32_model_state_dict.pt", 1e-5],
    ["adapters_d32_f16.pt", 1e-3],
    ["adapters_d32_bf16.pt", 1e-2],
  ])("of %s give the reference's outputs after each within %d", async (name, tolerance) => {
    const gpu = await testGpu();
    const expected = await openFixture("checkpoints/adapters_d32_expected.safetensors");
    const file = await openFixture(`checkpoints/${name}`);
    const { adapters, modelConfig } = readAdapters(file);
    expect(adapters).toHaveLength(3);
    for (const how of ["pass", "step"] as const) {
      let h = await expected.float32("input");
      for (const [i, names] of adapters.entries()) {
        const blocks = await loadAdapter(gpu, renamedTensors(file, names), modelConfig, i + 1);
        h = await runBlock(gpu, blocks, h, how);
        expect(relativeError(h, await expected.float32(`chain_output.${i}`))).toBeLessThan(tolerance);
      }
    }
  });
});
