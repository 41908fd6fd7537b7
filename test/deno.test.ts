import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { collect } from "../engine/generate.ts";
import { Model } from "../engine/model.ts";
import { defaultModelFolder, openModelFolder } from "../engine/platform/node/files.ts";
import { retrieve } from "../engine/retrieval/retrieval.ts";
import { type Answers, answersOf } from "./answers.ts";
import { lackingDeno, runInDeno } from "./deno/deno.ts";
import type { Spoken, ToAsk } from "./deno/speak.ts";
import { testGpu } from "./gpu.ts";
import { byteTokenizer, fixturePath } from "./models.ts";

const built = fileURLToPath(new URL("../dist/browser.js", import.meta.url));
const folder = await mkdtemp(join(tmpdir(), "resonant-deno-"));
afterAll(() => rm(folder, { recursive: true }));

const inFolder = (at: string, names: readonly string[]): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, join(at, name)]));

const tokenizer = inFolder(fixturePath("tokenizers/bytes"), ["tokenizer.json", "tokenizer_config.json"]);
const shipped = await defaultModelFolder();
const shippedFiles = inFolder(shipped, [
  "config.json",
  "model.safetensors",
  "tokenizer.json",
  "tokenizer_config.json",
]);
// With heads of 16: how heads of up to 8 are added up is each driver's choice.
const neox = folder;
const from = fixturePath("base-models/neox-parallel");
const config = JSON.parse(await readFile(join(from, "config.json"), "utf8"));
await writeFile(join(neox, "config.json"), JSON.stringify({ ...config, num_attention_heads: 2 }));
await copyFile(join(from, "model.safetensors"), join(neox, "model.safetensors"));
const adapters = fixturePath("checkpoints/adapters_d32_zip.pt");

/** Each model, and its folder and adapters for Node. */
const models: readonly (readonly [name: string, ToAsk, folder: string, adapters?: string])[] = [
  ...(["f32", "f16", "q8", "q4"] as const).map(
    (format) => [`the default model in ${format}`, { files: shippedFiles, format }, shipped] as const,
  ),
  [
    "a base model with adapters in f16",
    {
      files: {
        ...inFolder(neox, ["config.json", "model.safetensors"]),
        ...tokenizer,
        "adapters.pt": adapters,
      },
      adapters: "adapters.pt",
      format: "f16",
    },
    neox,
    adapters,
  ],
];

async function answersInNode({ format }: ToAsk, from: string, adapters?: string): Promise<Answers> {
  const files = await openModelFolder(from, adapters);
  const bytes = files.tokenizer === null ? byteTokenizer() : {};
  const model = await Model.load(await testGpu(), { ...files, ...bytes }, { format, slots: 4 });
  await files.close();
  return answersOf({ collect, retrieve }, model);
}

describe(`the library's browser build in Deno, on wgpu${lackingDeno}`, () => {
  it.skipIf(lackingDeno !== "")(
    "gives Node's texts, metrics, log-probabilities and search results to the bit on the same software driver",
    { timeout: 900_000 },
    async ({ skip }) => {
      const asked = join(folder, "asked.json");
      await writeFile(asked, JSON.stringify(models.map(([, model]) => model)));
      const { adapter, answers } = await runInDeno<Spoken>("speak.ts", [built, asked], folder);
      if (adapter === null)
        return skip("Deno finds no adapter: it needs libvulkan1 and a driver of the system");
      const gpu = await testGpu();
      const same = gpu.kind === "software" && /llvmpipe/.test(adapter) && /llvmpipe/.test(gpu.name);
      if (!same) return skip(`Node computes on ${gpu.name}, Deno on ${adapter}: their bits may differ`);
      expect(answers).toHaveLength(models.length);
      for (const [i, [name, model, from, adapters]] of models.entries()) {
        const inNode = await answersInNode(model, from, adapters);
        const inDeno = answers[i]!;
        console.log(
          `${name}\n  Node: ${JSON.stringify(inNode.text)}\n  Deno: ${JSON.stringify(inDeno.text)}`,
        );
        expect(inDeno, name).toEqual(inNode);
        expect(inNode.logprobs.length).toBeGreaterThan(100);
      }
    },
  );
});
