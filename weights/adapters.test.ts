import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ResonantError } from "../common/errors.ts";
import { readAdapters } from "./adapters.ts";
import { convertToSafetensors } from "./node/convert.ts";
import type { TensorFile, TensorInfo } from "./tensor-file.ts";
import { tensorFile } from "./tensor-file.ts";
import { fixturePath, openBytes, openFixture } from "./testing/fixtures.ts";

function fake(names: string[], metadata: Record<string, unknown> = {}): TensorFile {
  const tensors = new Map(
    names.map((name): [string, TensorInfo] => [name, { name, dtype: "U8", shape: [] }]),
  );
  return tensorFile({ name: "fake.pt", format: "pt", metadata }, tensors, async () => Uint8Array.of(0));
}

function complaint(file: TensorFile): string {
  try {
    readAdapters(file);
  } catch (error) {
    if (error instanceof ResonantError) return error.message;
    throw error;
  }
  return expect.fail("it was read");
}

describe("readAdapters", () => {
  it.each([
    "adapters_d32_zip.pt",
    "adapters_d32_legacy.pt",
    "adapters_d32_f16.pt",
    "adapters_d32_bf16.pt",
    "adapters_d32_model_state_dict.pt",
    "adapters_d32_expected.safetensors",
  ])("finds three adapters of one shape in %s, and again after conversion", async (name) => {
    const file = await openFixture(name);
    const { adapters, modelConfig, other } = readAdapters(file);
    expect(adapters).toHaveLength(3);
    expect(modelConfig).toMatchObject({ omega: 6.05, phi: 0.15, use_pvm: true, use_plm: false });
    for (const adapter of adapters) {
      expect([...adapter.keys()].sort()).toEqual([...adapters[0]!.keys()].sort());
      expect(adapter.size).toBe(16);
      expect(file.tensors.get(adapter.get("mixer.0.weight")!)!.shape).toEqual([64, 32]);
    }
    expect(adapters.reduce((sum, adapter) => sum + adapter.size, other.length)).toBe(file.tensors.size);

    const folder = await mkdtemp(join(tmpdir(), "resonant-"));
    const output = join(folder, "out.safetensors");
    await convertToSafetensors(fixturePath(name), output);
    const converted = readAdapters(await openBytes(new Uint8Array(await readFile(output)), output));
    expect(converted.modelConfig).toEqual(modelConfig);
    expect(converted.adapters.map((a) => new Map([...a].sort()))).toEqual(
      adapters.map((a) => new Map([...a].sort())),
    );
    await rm(folder, { recursive: true });
  });

  it("lists the tensors that belong elsewhere", async () => {
    const file = await openFixture("adapters_d32_model_state_dict.pt");
    expect(readAdapters(file).other).toContain("model_state_dict.model.embed_tokens.weight");
    expect(readAdapters(fake(["afrb_adapters.0.a", "7.b", "state.0.exp_avg"])).other).toEqual([
      "7.b",
      "state.0.exp_avg",
    ]);
  });

  it("refuses none, a gap in the sequence, a name twice, and a model_config that is no record", () => {
    expect(complaint(fake(["weight"]))).toMatch(/fake\.pt: holds no adapters.*weight/);
    expect(complaint(fake(["afrb_adapters.0.a", "afrb_adapters.2.a"]))).toMatch(/none numbered 1/);
    expect(complaint(fake(["afrb_adapters.0.a", "model_state_dict.afrb_adapters.0.a"]))).toMatch(
      /over again/,
    );
    expect(complaint(fake(["0.a"], { model_config: [1] }))).toMatch(/model_config: is not a dictionary/);
    expect(complaint(fake(["0.a"], { model_config: "{" }))).toMatch(/model_config: is not JSON/);
    expect(readAdapters(fake(["0.a"])).modelConfig).toEqual({});
  });
});
