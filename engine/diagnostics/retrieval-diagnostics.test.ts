import { describe, expect, it } from "vitest";
import type { PairDecay } from "../../kernels/memory-scan/memory-scan.ts";
import { type Memories, memoryReference } from "../../kernels/memory-scan/reference.ts";
import {
  coherenceReference,
  latticeCoherenceReference,
  pairsReference,
} from "../../kernels/metrics/reference.ts";
import { firstDifference, randomIntegers, relativeError, testGpu } from "../../test/gpu.ts";
import { fixturePath, loadDefault, loadTiny, openGolden } from "../../test/models.ts";
import { Model } from "../model.ts";
import { openModelFolder } from "../platform/node/files.ts";
import { tokenFeatures } from "../retrieval/features.ts";
import { phaseCurvature } from "./curvature.ts";
import { MemoryTrace } from "./memory-trace.ts";
import { retrievalDiagnostics } from "./retrieval-diagnostics.ts";

const gpu = await testGpu();
const tiny = await loadTiny(gpu);

async function loadBase(adapters: string | undefined): Promise<Model> {
  const files = await openModelFolder(
    fixturePath("base-models/neox-parallel"),
    adapters && fixturePath(adapters),
  );
  try {
    return await Model.load(gpu, { ...files, name: "base" }, { slots: 1, promptRows: 64 });
  } finally {
    await files.close();
  }
}
const base = await loadBase("checkpoints/adapters_d32_zip.pt");

/** Tokens' features, one after another: `[T, D]`. */
async function drive({ weights }: Model, tokens: readonly number[]): Promise<Float32Array[]> {
  const features = await tokenFeatures(gpu, weights, tokens);
  return tokens.map((token) => features.get(token)!);
}

/** The first block's memories over the tokens' features, in f64. */
async function memories(model: Model, tokens: readonly number[]): Promise<Memories> {
  const { shape, blocks } = model.weights;
  const table = await gpu.readFloats(blocks[0]!.decay);
  const decay = Array.from({ length: table.length / 8 }, (_, pair): PairDecay => {
    const [beta = 0, alpha = 0, re = 0, im = 0] = table.subarray(8 * pair, 8 * pair + 4);
    return { beta, alpha, lambda: Math.hypot(re, im), omega: Math.atan2(im, re) };
  });
  const us = Float32Array.from((await drive(model, tokens)).flatMap((u) => Array.from(u)));
  const zero = new Float64Array(shape.size);
  return memoryReference(us, decay, { m: zero, z: zero }, shape.size);
}

const rowsOf = (values: Float64Array, size: number): Float64Array[] =>
  Array.from({ length: values.length / size }, (_, t) => values.subarray(t * size, (t + 1) * size));
const mean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;
const near = (value: number) => expect.closeTo(value, 5);
const expectNear = (actual: object, expected: object) =>
  expect(actual).toEqual(
    Object.fromEntries(
      Object.entries(expected).map(([name, value]) => [
        name,
        typeof value === "number" ? near(value) : value,
      ]),
    ),
  );

describe("the memories' trace", () => {
  it("is, bit for bit, that of one block, however many blocks it takes", async () => {
    const us = await drive(tiny, [...randomIntegers(1, 300, 300)]);
    const one = new MemoryTrace(gpu, tiny.weights, us.length);
    const many = new MemoryTrace(gpu, tiny.weights, 128);
    expect([one.rows, many.rows]).toEqual([320, 128]);
    const whole = await one.advance(us);
    for (let start = 0; start < us.length; start += many.rows) {
      const part = await many.advance(us.slice(start, start + many.rows));
      expect(firstDifference(part, whole.subarray(start * 128, start * 128 + part.length))).toBe(-1);
    }
    one.destroy();
    many.destroy();
  });

  it("has the gate of the block's matrix for each vector, and the memories go on after it", async () => {
    const file = await openGolden("native_long");
    const matrix = await file.float32("weights.blocks.0.pvm.gate.weight");
    const bias = await file.float32("weights.blocks.0.pvm.gate.bias");
    const us = await drive(tiny, [...randomIntegers(2, 128, 300)]);
    const expected = us.flatMap((u) =>
      Array.from(bias, (b, row) => {
        const logit = u.reduce((sum, value, d) => sum + value * matrix[row * u.length + d]!, b);
        return 1 / (1 + Math.exp(-logit));
      }),
    );
    const trace = new MemoryTrace(gpu, tiny.weights, 128);
    expect(relativeError(await trace.gates(us), expected)).toBeLessThan(1e-6);
    const first = await trace.advance(us.slice(0, 64));
    await trace.gates(us);
    const second = await trace.advance(us.slice(64));
    const fresh = new MemoryTrace(gpu, tiny.weights, 128);
    const whole = await fresh.advance(us);
    expect(firstDifference(Float32Array.from([...first, ...second]), whole)).toBe(-1);
    trace.destroy();
    fresh.destroy();
  });
});

describe("a retrieval's diagnostics", () => {
  const tokens = [...randomIntegers(3, 200, 128)];
  const cue = tokens.slice(120, 131);
  const options = { tokens, cue, position: 120, memoryBytes: 5120 };

  it.each(["default", "tiny"] as const)(
    "are the f64 recurrences' in every mode: the %s model",
    async (name) => {
      const model = name === "tiny" ? tiny : await loadDefault(gpu);
      const { size, lattice } = model.weights.shape;
      const { m, z } = await memories(model, [...tokens, ...cue]);
      const phase = mean(rowsOf(m, size).map((row) => coherenceReference(pairsReference(row))));
      const plm = mean(rowsOf(z, size).map((row) => latticeCoherenceReference(row, lattice!.grid)));
      for (const mode of ["pvm", "plm", "hybrid"] as const) {
        const found = await retrievalDiagnostics(model, {
          ...options,
          mode,
        });
        const { curvature, ...coherence } = found.phase;
        expectNear(coherence, { phaseCoherence: phase, plmCoherence: plm });
        const at = { size, needle: 120, retrieval: 200 };
        expectNear(curvature, phaseCurvature(mode === "plm" ? z : m, at));
        const { pvmGateStrength, ...stats } = found.memory;
        expectNear(stats, {
          pvmMemoryNorm: mean(m.slice(-size).map(Math.abs)),
          plmCoherence: plm,
          memoryBytes: 5 * 1024,
        });
        expect(pvmGateStrength).toBeGreaterThan(0);
        expect(pvmGateStrength).toBeLessThan(1);
      }
    },
  );

  it("are null for the lattice that adapters lack, and have their constant gate", async () => {
    const { size, pvm } = base.weights.shape;
    expect(pvm).toBe(true);
    const { m } = await memories(base, [...tokens, ...cue]);
    const found = await retrievalDiagnostics(base, {
      ...options,
      mode: "pvm",
    });
    const phase = mean(rowsOf(m, size).map((row) => coherenceReference(pairsReference(row))));
    expect(found.phase).toMatchObject({ phaseCoherence: near(phase), plmCoherence: null });
    expectNear(found.phase.curvature, phaseCurvature(m, { size, needle: 120, retrieval: 200 }));
    expectNear(found.memory, {
      pvmMemoryNorm: mean(m.slice(-size).map(Math.abs)),
      pvmGateStrength: base.weights.blocks[0]!.constants.pvm!.gate,
      plmCoherence: null,
      memoryBytes: 5 * 1024,
    });
  });

  it("are those of the context alone where there is no cue", async () => {
    const { size } = tiny.weights.shape;
    const { m } = await memories(tiny, tokens);
    const found = await retrievalDiagnostics(tiny, {
      ...options,
      tokens: Uint32Array.from(tokens),
      cue: [],
      mode: "hybrid",
    });
    expectNear(found.phase.curvature, phaseCurvature(m, { size, needle: 120, retrieval: 200 }));
    expect(found.memory.pvmMemoryNorm).toBeCloseTo(mean(m.slice(-size).map(Math.abs)), 5);
  });

  it("tell how far they are", async () => {
    const told: number[][] = [];
    const onProgress = (...far: number[]) => told.push(far);
    await retrievalDiagnostics(tiny, { ...options, mode: "pvm", onProgress });
    expect(told).toEqual([[211, 211]]);
  });

  it("are an error where a memory is not finite", async () => {
    const { decay } = tiny.weights.blocks[0]!;
    const kept = await gpu.readFloats(decay);
    gpu.device.queue.writeBuffer(
      decay,
      0,
      kept.map(() => Number.NaN),
    );
    await expect(retrievalDiagnostics(tiny, { ...options, mode: "plm" })).rejects.toMatchObject({
      code: "model",
    });
    gpu.device.queue.writeBuffer(decay, 0, kept);
  });

  it("leave no buffer behind, also when they are aborted", async () => {
    await retrievalDiagnostics(tiny, { ...options, mode: "pvm" });
    const before = gpu.bytes;
    await retrievalDiagnostics(tiny, { ...options, mode: "plm" });
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(retrievalDiagnostics(tiny, { ...options, mode: "pvm", signal })).rejects.toThrow("enough");
    expect(gpu.bytes).toBe(before);
  });

  it("are refused of nothing, for a place that is not there, and for a memory that the model lacks", async () => {
    const refused = (model: Model, changed: object, where: string) =>
      expect(
        retrievalDiagnostics(model, { ...options, mode: "pvm", ...changed }),
        where,
      ).rejects.toMatchObject({ code: "invalid_argument", where });
    await refused(tiny, { tokens: [] }, "tokens");
    for (const position of [-1, 200, 0.5]) await refused(tiny, { position }, "position");
    await refused(base, { mode: "plm" }, "mode");
    await refused(await loadBase(undefined), {}, "mode");
  });
});
