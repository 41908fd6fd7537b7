import { describe, expect, it } from "vitest";
import type { ResonantError } from "../common/errors.ts";
import { keptReference, packReference } from "../kernels/pack-weight/reference.ts";
import { firstDifference, randomFloats, readMatrix, relativeError, testGpu } from "../test/gpu.ts";
import { memoryTensors, openGolden, scriptedModelFiles } from "../test/models.ts";
import { refusal } from "../weights/testing/fixtures.ts";
import { loadAdapter } from "./adapter.ts";
import { parseConfig } from "./config.ts";
import type { Gpu } from "./device/gpu.ts";
import { Fingerprint, PIECE_BYTES, PieceHash, sha256 } from "./fingerprint.ts";
import { goldenConfig } from "./goldens.ts";
import { Model } from "./model.ts";
import { CHUNK_BYTES, type Tensors, tensorsUnder } from "./tensors.ts";
import { loadWeights, type TensorRows, Uploader } from "./weights.ts";

const GRID = "native_grid2x4";

/** A golden model's tensors with `change` made to their shapes. */
async function tensors(change: (shapes: Map<string, readonly number[]>) => void): Promise<Tensors> {
  const all = tensorsUnder(await openGolden(GRID), "weights.");
  const shapes = new Map(all.shapes);
  change(shapes);
  return { ...all, shapes };
}

async function refusedBy(gpu: Gpu, given: Tensors): Promise<ResonantError> {
  const config = parseConfig(goldenConfig(await openGolden(GRID)), "config.json");
  return refusal(loadWeights(gpu, config, given, "f32"));
}

describe("a native model's weights", () => {
  it.each([
    "embed.weight",
    "norm.bias",
    "blocks.1.gamma_raw",
    "blocks.0.plm.kappa",
    "blocks.1.mlp.down.weight",
  ])("without %s are refused by its name, and nothing is allocated", async (name) => {
    const gpu = await testGpu();
    const before = gpu.bytes;
    const error = await refusedBy(gpu, await tensors((shapes) => shapes.delete(name)));
    expect(error).toMatchObject({ code: "invalid_file", message: expect.stringContaining("missing") });
    expect(error.where).toBe(`goldens/${GRID}.safetensors: ${name}`);
    expect(gpu.bytes).toBe(before);
  });

  it.each([
    ["embed.weight", [50, 31], "[50, 32]"],
    ["head.weight", [32, 50], "[50, 32]"],
    ["blocks.0.conv.weight", [32, 1, 4], "[32, 4]"],
    ["blocks.1.gamma_raw", [1], "[]"],
    ["blocks.1.mixer.weight", [32, 32], "[64, 32]"],
    ["blocks.0.pvm.alpha", [], "[16]"],
  ])("with a wrong shape of %s are refused by its name and both shapes", async (name, shape, wanted) => {
    const gpu = await testGpu();
    const before = gpu.bytes;
    const error = await refusedBy(gpu, await tensors((shapes) => shapes.set(name, shape)));
    expect(error).toMatchObject({ code: "invalid_file", where: `goldens/${GRID}.safetensors: ${name}` });
    expect(error.message).toContain(`[${shape.join(", ")}]`);
    expect(error.message).toContain(wanted);
    expect(gpu.bytes).toBe(before);
  });

  it.each(["blocks.2.gamma_raw", "blocks.0.attention.weight", "embed.bias"])(
    "with an unknown %s are refused by its name, and nothing is allocated",
    async (name) => {
      const gpu = await testGpu();
      const before = gpu.bytes;
      const error = await refusedBy(gpu, await tensors((shapes) => shapes.set(name, [1])));
      expect(error).toMatchObject({ code: "invalid_file", where: `goldens/${GRID}.safetensors: ${name}` });
      expect(gpu.bytes).toBe(before);
    },
  );

  it.each([
    ["blocks.0.norm2.weight", Number.NaN, 31],
    ["embed.weight", Number.POSITIVE_INFINITY, 49 * 32 + 31],
    ["blocks.1.gamma_raw", Number.NEGATIVE_INFINITY, 0],
  ])("with %s of %d are refused by the tensor and the element", async (name, value, element) => {
    const file = await openGolden(GRID);
    const given = tensorsUnder(
      {
        ...file,
        bytes: async (full) => {
          const bytes = (await file.bytes(full)).slice();
          if (full === `weights.${name}`) new Float32Array(bytes.buffer)[element] = value;
          return bytes;
        },
      },
      "weights.",
    );
    const error = await refusedBy(await testGpu(), given);
    expect(error).toMatchObject({
      code: "invalid_file",
      where: `goldens/${GRID}.safetensors: weights.${name}`,
    });
    expect(error.message).toContain(`element ${element} is ${value}`);
  });

  it("are told of one by one as they are read, each once", async () => {
    const given = await tensors(() => {});
    const config = parseConfig(goldenConfig(await openGolden(GRID)), "config.json");
    const told: [number, number, string][] = [];
    const { parameters } = await loadWeights(await testGpu(), config, given, "f32", {
      onProgress: (...args) => {
        told.push(args);
      },
    });
    expect(told.map(([done]) => done)).toEqual(told.map((_, i) => i + 1));
    expect(told.map(([, , name]) => name).sort()).toEqual([...given.shapes.keys()].sort());
    expect(new Set(told.map(([, total]) => total))).toEqual(new Set([given.shapes.size]));
    const elements = [...given.shapes.values()].map((dims) =>
      dims.reduce((product, dim) => product * dim, 1),
    );
    expect(parameters).toBe(elements.reduce((sum, count) => sum + count, 0));
  });
});

describe("a matrix larger than a chunk", () => {
  const columns = 1031;
  const rows = 2 * Math.ceil(CHUNK_BYTES / (4 * columns));
  const values = randomFloats(1, rows * columns);
  const tensors = tensorsUnder(memoryTensors(new Map([["w", [rows, columns]]]), () => values));

  it("is read in whole rows, no chunk larger than it may be, and the same as at once", async () => {
    let next = 0;
    for await (const { first, values: chunk } of tensors.chunks("w", columns)) {
      expect(first).toBe(next);
      expect(chunk.length % columns).toBe(0);
      expect(chunk.byteLength).toBeLessThanOrEqual(CHUNK_BYTES);
      expect(firstDifference(chunk, values.subarray(first, first + chunk.length))).toBe(-1);
      next += chunk.length;
    }
    expect(next).toBe(values.length);
    expect(firstDifference(await tensors.read("w"), values)).toBe(-1);
  });

  const reversed = (row: number): number => rows - 1 - row;
  it.each<[string, Omit<TensorRows, "name" | "rows">]>([
    ["in order", {}],
    ["a gated unit's halves side by side", { gated: true }],
    ["from the last to the first", { place: reversed }],
  ])("lies on the GPU %s", async (_, layout) => {
    const gpu = await testGpu();
    const weight = await new Uploader(gpu, "f32", tensors).matrix(columns, [{ name: "w", rows, ...layout }]);
    const padded = Math.ceil(columns / 32) * 32;
    const inOrder = packReference(values, [rows, columns], padded, layout.gated ?? false);
    const found = new Float32Array((await readMatrix(gpu, weight)).slice().buffer);
    weight.buffer.destroy();
    const expected = new Float32Array(rows * padded);
    for (let row = 0; row < rows; row++) {
      const to = layout.place?.(row) ?? row;
      expected.set(inOrder.subarray(row * padded, (row + 1) * padded), to * padded);
    }
    expect(firstDifference(found, expected)).toBe(-1);
  });
});

describe("a reference adapter's weights", () => {
  const load = async (change: (shapes: Map<string, readonly number[]>) => void, config: unknown = {}) => {
    const all = tensorsUnder(await openGolden("afrb_glu_pvm"), "state.");
    const shapes = new Map(all.shapes);
    change(shapes);
    return refusal(loadAdapter(await testGpu(), { ...all, shapes }, config, 1));
  };

  it.each(["norm1.weight", "alpha", "phase_embed.omega_const", "pvm.input_scale", "global_step"])(
    "without %s are refused by its name",
    async (name) => {
      const error = await load((shapes) => shapes.delete(name));
      expect(error.code).toBe("invalid_file");
      expect(error.where).toMatch(new RegExp(`afrb_glu_pvm\\.safetensors: ${name}$`));
    },
  );

  it("of an unknown name are refused by it", async () => {
    const error = await load((shapes) => shapes.set("mixer.2.weight", [1]));
    expect(error).toMatchObject({
      code: "invalid_file",
      where: expect.stringMatching(/: mixer\.2\.weight$/),
    });
  });

  it.each([
    ["omega", "6"],
    ["pvm_beta", Number.NaN],
    ["phase_ramp", null],
    ["stillness_warm", []],
  ])("under a model_config with a bad %s are refused by the field's name", async (field, value) => {
    const error = await load(() => {}, { [field]: value });
    expect(error).toMatchObject({
      code: "invalid_file",
      where: expect.stringMatching(new RegExp(`: model_config\\.${field}$`)),
    });
  });
});

describe("a model's fingerprint", () => {
  const bytes = (...values: number[]): string => Float32Array.from(values).join(); // stands for their hash

  it("depends on each tensor's name, shape, type and values and on the configuration, not on their order", async () => {
    const of = async (config: unknown, ...list: Parameters<Fingerprint["add"]>[]): Promise<string> => {
      const fingerprint = new Fingerprint();
      for (const each of list) fingerprint.add(...each);
      return fingerprint.digest(config);
    };
    const a: Parameters<Fingerprint["add"]> = ["a", "F32", [2], bytes(1, 2)];
    const b: Parameters<Fingerprint["add"]> = ["b", "F32", [1], bytes(3)];
    const base = await of({ layers: 1 }, a, b);
    expect(base).toMatch(/^[0-9a-f]{64}$/);
    expect(await of({ layers: 1 }, b, a)).toBe(base);
    const others = [
      await of({ layers: 2 }, a, b),
      await of({ layers: 1 }, a),
      await of({ layers: 1 }, ["c", "F32", [2], bytes(1, 2)], b),
      await of({ layers: 1 }, ["a", "F32", [1, 2], bytes(1, 2)], b),
      await of({ layers: 1 }, ["a", "I32", [2], bytes(1, 2)], b),
      await of({ layers: 1 }, ["a", "F32", [2], bytes(2, 1)], b),
    ];
    expect(new Set([base, ...others]).size).toBe(7);
  });

  it("hashes bytes the same however they come", async () => {
    const all = Uint8Array.from({ length: 2 * PIECE_BYTES + 5 }, (_, i) => (i * i) % 251);
    const of = async (length: number, step: number): Promise<string> => {
      const hash = new PieceHash();
      for (let at = 0; at < length; at += step) {
        await hash.add(all.subarray(at, Math.min(length, at + step)));
      }
      return hash.digest();
    };
    expect(await of(1000, 7)).toBe(await sha256(all.slice(0, 1000)));
    expect(await of(PIECE_BYTES, 3_000_001)).toBe(await sha256(all.slice(0, PIECE_BYTES)));
    expect(await of(0, 1)).toBe(await sha256(new Uint8Array()));
    const whole = await of(all.length, all.length);
    expect(await of(all.length, 3_000_001)).toBe(whole);
    expect(await of(all.length - 1, all.length)).not.toBe(whole);
  });

  it("is the same in every weight format", async () => {
    const gpu = await testGpu();
    const prints = [];
    for (const format of ["f32", "f16"] as const) {
      prints.push((await Model.load(gpu, scriptedModelFiles([1, 2, 3]), { format, slots: 1 })).fingerprint);
    }
    expect(prints[0]).toBe(prints[1]);
  });

  it("tell each matrix's error where weights are not kept as they are", async () => {
    const config = parseConfig(goldenConfig(await openGolden(GRID)), "config.json");
    const given = await tensors(() => {});
    const matrices = [...given.shapes].filter(
      ([name, dims]) => dims.length === 2 && !/conv|phase/.test(name),
    );
    for (const [format, least, most] of [
      ["f16", 1e-5, 1e-3],
      ["q8", 1e-3, 1e-2],
      ["q4", 2e-2, 0.15],
    ] as const) {
      const errors = new Map<string, number>();
      const onPacked = (name: string, error: number) => errors.set(name, error);
      await loadWeights(await testGpu(), config, given, format, { onPacked });
      expect([...errors.keys()].sort()).toEqual(matrices.map(([name]) => name).sort());
      for (const [name, error] of errors) {
        const kept = keptReference(await given.read(name), given.shapes.get(name)![1]!, format);
        expect(error).toBeCloseTo(relativeError(kept, await given.read(name)), 6);
        expect(error > least && error < most, `${name}: ${error}`).toBe(true);
      }
    }
    await loadWeights(await testGpu(), config, given, "f32", { onPacked: (name) => expect.fail(name) });
  });
});
