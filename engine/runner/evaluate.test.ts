import { describe, expect, it } from "vitest";
import { randomIntegers, testGpu } from "../../test/gpu.ts";
import { loadTiny } from "../../test/models.ts";
import { refusal } from "../../weights/testing/fixtures.ts";
import type { Model } from "../model.ts";

const TOKENS = Array.from(randomIntegers(12, 700, 300));

let opened: Promise<Model> | undefined;
/** The prompt rows are two chunks of the scan, so a longer stream takes several passes. */
const tiny = (): Promise<Model> => {
  opened ??= testGpu().then((gpu) => loadTiny(gpu, { promptRows: 128, slots: 4 }));
  return opened;
};

/** Mean −ln p in f64, from the logits of single steps. Each window starts from an empty state. */
async function reference(model: Model, tokens: readonly number[], window: number): Promise<number> {
  const { runner, config } = model;
  const slot = runner.pool.take();
  let sum = 0;
  let count = 0;
  for (let start = 0; start + window < tokens.length; start += window) {
    runner.pool.clear(slot);
    for (let t = 0; t < window; t++) {
      const outputs = runner.step(slot, t, tokens[start + t]!);
      const values = await outputs.readFloats("logits", 0, config.vocabulary);
      const most = Math.max(...values);
      const total = values.reduce((all, value) => all + Math.exp(value - most), 0);
      sum += Math.log(total) + most - values[tokens[start + t + 1]!]!;
      count++;
    }
  }
  runner.pool.give(slot);
  return sum / count;
}

describe("a text's loss", () => {
  it.each([
    [10, 20],
    [33, 4],
    [150, 2],
  ])("in windows of %i is what steps from an empty state give", async (window, windows) => {
    const model = await tiny();
    const tokens = TOKENS.slice(0, window * windows + 1 + Math.floor(window / 2));
    const told: [number, number][] = [];
    const onProgress = (done: number, total: number): void => {
      told.push([done, total]);
    };
    const { loss, ...counted } = await model.evaluate(tokens, { window, onProgress });
    expect(counted).toEqual({ tokens: window * windows, window });
    expect(Math.abs(loss / (await reference(model, tokens, window)) - 1)).toBeLessThan(1e-6);
    expect(told.at(-1)).toEqual([window * windows, window * windows]);
    expect(told.map(([done]) => done)).toEqual(told.map(([done]) => done).sort((a, b) => a - b));
    expect(model.runner.pool.free).toBe(4);
  });

  it("in one stream over several passes equals that of single steps", async () => {
    const model = await tiny();
    const tokens = TOKENS.slice(0, 300);
    const { loss, ...counted } = await model.evaluate(tokens, {});
    expect(counted).toEqual({ tokens: 299, window: null });
    expect(Math.abs(loss / (await reference(model, tokens, 299)) - 1)).toBeLessThan(1e-6);
  });

  it("does not change other streams, and leaves no buffers behind", async () => {
    const model = await tiny();
    const stream = model.open();
    for await (const _ of model.generate("a stream", { maxTokens: 3, seed: 1, stream })) {
      // read to its end
    }
    const saved = await model.save(stream);
    const before = model.gpu.bytes;
    await model.evaluate(TOKENS, { window: 64 });
    expect(await model.save(stream)).toEqual(saved);
    expect(model.gpu.bytes).toBe(before);
    stream.close();
  });

  it.each([
    ["no token", [], {}],
    ["one token", [5], {}],
    ["fewer than a window and its last target", [1, 2, 3, 4], { window: 4 }],
    ["a token that the model does not have", [1, 300], {}],
  ])("of %s is refused", async (_, tokens, options) => {
    const error = await refusal((await tiny()).evaluate(tokens, options));
    expect(error).toMatchObject({ code: "invalid_argument", option: "tokens" });
  });

  it.each([0, -2, 1.5, Number.NaN])("in windows of %d is refused", async (window) => {
    const error = await refusal((await tiny()).evaluate(TOKENS, { window }));
    expect(error).toMatchObject({ code: "invalid_argument", option: "window" });
  });

  it("stops when its signal is aborted", async () => {
    const model = await tiny();
    const signal = AbortSignal.abort("enough");
    await expect(model.evaluate(TOKENS, { window: 10, signal })).rejects.toBe("enough");
    expect(model.runner.pool.free).toBe(4);
  });
});
