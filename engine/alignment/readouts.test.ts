import { describe, expect, it } from "vitest";
import { firstDifference, randomIntegers, relativeError, testGpu } from "../../test/gpu.ts";
import { loadDefault, loadTiny } from "../../test/models.ts";
import type { Runner } from "../runner/runner.ts";
import { calibrate } from "./calibrate.ts";
import { readEmbeddings } from "./embeddings.ts";
import { readouts } from "./readouts.ts";
import { loadBase } from "./testing/base-model.ts";

const gpu = await testGpu();

/** All readouts, `[tokens, D]`, and where their blocks start. */
async function all(runner: Runner, tokens: Uint32Array): Promise<{ z: Float32Array; starts: number[] }> {
  const size = runner.weights.shape.size;
  const z = new Float32Array(tokens.length * size);
  const starts: number[] = [];
  for await (const block of readouts(runner, tokens)) {
    z.set(block.z, block.start * size);
    starts.push(block.start);
  }
  return { z, starts };
}

/** The first block's vector memory after each token, fed one by one: `[tokens, D]`. */
async function stepped(runner: Runner, tokens: Uint32Array): Promise<Float32Array> {
  const { size, taps } = runner.weights.shape;
  const at = Math.max(0, taps - 1) * size;
  const out = new Float32Array(tokens.length * size);
  const slot = runner.pool.take();
  runner.pool.clear(slot);
  for (const [position, token] of tokens.entries()) {
    runner.step(slot, position, token);
    const { state } = await runner.pool.read(slot);
    out.set(state.subarray(at, at + size), position * size);
  }
  runner.pool.give(slot);
  return out;
}

describe("readouts", () => {
  it("are a native model's first vector memory after each token, whatever the blocks they come in", async () => {
    const { runner } = await loadTiny(gpu, { promptRows: 64, slots: 2 });
    const tokens = randomIntegers(1, 150, 256);
    const { z, starts } = await all(runner, tokens);
    expect(starts).toEqual([0, 64, 128]);
    expect(relativeError(z, await stepped(runner, tokens))).toBeLessThan(1e-5);
    const { runner: other } = await loadTiny(gpu, { promptRows: 256, slots: 2 });
    expect(firstDifference((await all(other, tokens)).z, z)).toBe(-1);
  });

  it.each([
    { placement: "embedding", attention: "on" },
    { placement: "layers", attention: "on" },
    { placement: "layers", attention: "bypass" },
  ] as const)(
    "are the first adapter's on a base model: $placement, attention $attention",
    async (options) => {
      const { runner } = await loadBase(options);
      const tokens = randomIntegers(2, 130, runner.weights.embed.rows);
      const { z } = await all(runner, tokens);
      expect(relativeError(z, await stepped(runner, tokens))).toBeLessThan(1e-5);
    },
  );

  it("start anew where a model has no more positions, and go on where it has no limit", async () => {
    const tokens = randomIntegers(3, 450, 100);
    const { runner } = await loadBase({ placement: "layers" });
    const { z, starts } = await all(runner, tokens);
    expect(starts).toEqual([0, 128, 256, 384, 400]);
    const alone = await all(runner, tokens.subarray(400));
    expect(firstDifference(z.subarray(400 * 32), alone.z)).toBe(-1);
    const bypass = await loadBase({ placement: "layers", attention: "bypass" });
    expect((await all(bypass.runner, tokens)).starts).toEqual([0, 128, 256, 384]);
  });

  it("leave streams alone, and no second ones are taken meanwhile", async () => {
    const { runner } = await loadTiny(gpu, { promptRows: 64, slots: 2 });
    const tokens = randomIntegers(4, 128, 256);
    const undisturbed = await all(runner, tokens);
    runner.pool.clear(0);
    const before = await runner.pool.read(0);
    const taking = readouts(runner, tokens);
    const first = await taking.next();
    await expect(readouts(runner, tokens).next()).rejects.toThrow("being taken already");
    runner.pass(0, 0, tokens.subarray(0, 40), 40);
    const second = await taking.next();
    expect((await taking.next()).done).toBe(true);
    const parts = [first, second].map(({ value }) => Array.from(value ? value.z : []));
    expect(firstDifference(Float32Array.from(parts.flat()), undisturbed.z)).toBe(-1);
    runner.pool.clear(0);
    expect(await runner.pool.read(0)).toEqual(before);
  });

  it("end when their signal is aborted, and may be taken again", async () => {
    const { runner } = await loadTiny(gpu, { promptRows: 64, slots: 2 });
    const controller = new AbortController();
    const taking = readouts(runner, randomIntegers(5, 128, 256), controller.signal);
    await taking.next();
    controller.abort(new Error("enough"));
    await expect(taking.next()).rejects.toThrow("enough");
    expect((await all(runner, Uint32Array.of(1, 2))).starts).toEqual([0]);
  });
});

describe("embeddings", () => {
  it.each(["f32", "f16"] as const)("are the table's rows, in weights kept as %s", async (format) => {
    const model = await loadTiny(gpu, { format, slots: 1 });
    const files = await loadTiny(gpu, { slots: 1 });
    const tokens = Uint32Array.from({ length: 299 }, (_, i) => 299 - i);
    const rows = (await readEmbeddings(gpu, model.weights, [...tokens, ...tokens])).stack(tokens);
    const table = await gpu.readFloats(files.weights.embed.buffer);
    const expected = Float32Array.from(
      Array.from(tokens).flatMap((id) => Array.from(table.subarray(id * 64, id * 64 + 64))),
    );
    expect(relativeError(rows, expected)).toBeLessThan(format === "f32" ? 1e-12 : 1e-3);
  });
});

describe("a calibration", () => {
  it("runs on a base model with adapters, past its positions, and leaves no buffer behind a second time", async () => {
    const model = await loadBase({ placement: "embedding" });
    const tokens = randomIntegers(6, 500, 20);
    const seen: [number, number][] = [];
    const first = await calibrate(model, tokens, {
      lambda: 1,
      onProgress: (done, total) => seen.push([done, total]),
    });
    expect(first.alignment.weights).toHaveLength(32 * 32);
    expect(first.alignment.tokens + first.heldOut.tokens).toBe(499);
    expect(first.heldOut.tokens).toBe(49);
    expect(seen.at(-1)).toEqual([499, 499]);
    const bytes = gpu.bytes;
    expect(await calibrate(model, tokens, { lambda: 1 })).toEqual(first);
    expect(gpu.bytes).toBe(bytes);
  });

  it("finds what a memory can know: the next of a text that goes round", async () => {
    const model = await loadDefault(gpu);
    const round = await model.encode("abcdefghijklmnopqrst".repeat(25));
    const { alignment, heldOut } = await calibrate(model, round, { lambda: 1e-2 });
    expect(alignment.residual).toBeLessThan(0.2);
    expect(heldOut).toMatchObject({ tokens: 49, top1: 1, top5: 1 });
    expect(heldOut.residual).toBeLessThan(0.2);
    expect(heldOut.baselineTop1).toBeLessThan(0.1);
    expect(heldOut.meanResidual).toBeGreaterThan(0.5);
  });

  it("is refused without a vector memory, with few tokens, unknown ones and an undetermined W", async () => {
    const plain = await loadBase({}, false);
    const tokens = randomIntegers(7, 40, 100);
    await expect(calibrate(plain, tokens, { lambda: 1 })).rejects.toMatchObject({ code: "unsupported" });
    await expect(calibrate(plain, tokens, { lambda: 1 })).rejects.toThrow("no phase-vector memory");
    const model = await loadTiny(gpu, { slots: 1 });
    await expect(calibrate(model, tokens.slice(0, 10), { lambda: 1 })).rejects.toThrow(
      "tokens: 10 tokens, and a calibration needs 11",
    );
    await expect(calibrate(model, [...tokens, 300], { lambda: 1 })).rejects.toThrow("tokens: token 300");
    await expect(calibrate(model, tokens, { lambda: 0 })).rejects.toThrow("lambda: ZᵀZ + λI is singular");
    await expect(calibrate(model, tokens, { lambda: -1 })).rejects.toThrow("lambda: -1");
    expect((await calibrate(model, tokens, { lambda: 1 })).alignment.tokens).toBe(36);
  });
});
