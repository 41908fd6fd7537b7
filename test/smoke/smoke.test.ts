import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { collect, type GenerateOptions } from "../../engine/generate.ts";
import { checkGolden } from "../../engine/goldens.ts";
import type { Model } from "../../engine/model.ts";
import { describeAdapter, requestAdapter } from "../../engine/platform/node/device.ts";
import { testGpu } from "../gpu.ts";
import { loadDefault, openGolden, readJson } from "../models.ts";

// The features that must work everywhere. Run them alone with `npm run smoke` where the whole suite would take too long.

const PROMPT = "ROMEO:\nBut soft, what light through yonder window breaks?\n";
const root = fileURLToPath(new URL("../..", import.meta.url));

let loaded: Promise<Model> | undefined;
const defaultModel = (): Promise<Model> => {
  loaded ??= testGpu().then((gpu) => loadDefault(gpu));
  return loaded;
};

async function text(prompt: string, options: GenerateOptions): Promise<string> {
  return (await collect((await defaultModel()).generate(prompt, options))).text;
}

describe("a first try", () => {
  it("finds an adapter, and names it", async () => {
    const { name, driver } = describeAdapter(await requestAdapter());
    console.log(`adapter: ${name} (${driver})`);
    expect(name).not.toBe("");
  });

  it.each([
    ["afrb_glu_pvm", "afrb"],
    ["native_grid2x4", "native"],
  ] as const)("gives %s within 1e-5 as one pass and token by token", async (name, kind) => {
    const { pass, step } = await checkGolden(await testGpu(), await openGolden(name), kind);
    expect(pass).toBeLessThan(1e-5);
    expect(step).toBeLessThan(1e-5);
  });

  it("continues a text with the default model like its f64 reference", async () => {
    const { greedy_prompt, greedy_text } = readJson("shakespeare/expected.json") as {
      greedy_prompt: string;
      greedy_text: string;
    };
    expect(greedy_prompt).toBe(PROMPT);
    const continued = await text(PROMPT, { temperature: 0, maxTokens: 20 });
    expect(continued).toHaveLength(20);
    expect(continued).toBe(greedy_text.slice(0, 20));
  });

  it("continues a saved and restored state exactly", async () => {
    const model = await defaultModel();
    const settings = { temperature: 0.8, seed: 7 };
    const whole = await text("JULIET:\n", { ...settings, maxTokens: 12 });
    const stream = model.open();
    const first = await collect(
      model.generate("JULIET:\n", { ...settings, stream, maxTokens: 5, keepPending: true }),
    );
    const file = await model.save(stream);
    stream.close();
    const restored = await model.restore(file);
    const rest = await collect(
      model.generate("", { temperature: settings.temperature, stream: restored, maxTokens: 7 }),
    );
    restored.close();
    expect(first.text + rest.text).toBe(whole);
  });

  it("generates the same text for the same seed, and another for another seed", async () => {
    const settings = { temperature: 1, maxTokens: 12 };
    const once = await text("KING:\n", { ...settings, seed: 1 });
    expect(await text("KING:\n", { ...settings, seed: 1, runAhead: 0 })).toBe(once);
    expect(await text("KING:\n", { ...settings, seed: 2 })).not.toBe(once);
  });

  it("generates from the command line, and prints JSON", async () => {
    const args = ["dist/cli.js", "generate", PROMPT, "-n", "8", "--temperature", "0", "--json"];
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root });
    expect(JSON.parse(stdout)).toMatchObject({
      text: "\nSecond ",
      prompt: PROMPT,
      tokens_generated: 8,
      finish_reason: "max_tokens",
      model_info: { num_afrb_layers: 4, hidden_size: 256 },
    });
  });
});
