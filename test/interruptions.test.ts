import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { programs } from "../build/program-text.mjs";
import { collect } from "../engine/generate.ts";
import { Model, type ModelFiles } from "../engine/model.ts";
import { writeSafetensors } from "../weights/safetensors.ts";
import { mulberry32, testGpu } from "./gpu.ts";
import { goldenModelFiles } from "./models.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const run = promisify(execFile);

/** A folder in the repository, so that a bundle finds its packages. */
let folder = "";

beforeAll(async () => {
  const parent = join(ROOT, "node_modules", ".cache");
  await mkdir(parent, { recursive: true });
  folder = await mkdtemp(join(parent, "interruptions-"));
  await build({
    entryPoints: { worker: join(ROOT, "test/resume-worker.ts"), cli: join(ROOT, "cli/main.ts") },
    outdir: folder,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    format: "esm",
    platform: "node",
    target: "es2023",
    packages: "external",
    loader: { ".wgsl": "text" },
    plugins: [programs(build)],
    logLevel: "warning",
  });
});

afterAll(async () => {
  if (folder) await rm(folder, { recursive: true, force: true });
});

/** Runs a new process; returns its standard output. */
async function fresh(script: "worker" | "cli", ...args: string[]): Promise<string> {
  const { stdout } = await run(process.execPath, [join(folder, `${script}.mjs`), ...args], { cwd: ROOT });
  return stdout;
}

/** Writes a model's folder. */
async function writeModel(files: ModelFiles, to: string): Promise<void> {
  await mkdir(to);
  const tensors = [...files.tensors.tensors.values()].map((tensor) => ({
    ...tensor,
    bytes: () => files.tensors.bytes(tensor.name),
  }));
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeSafetensors(tensors)) chunks.push(chunk);
  await writeFile(join(to, "model.safetensors"), Buffer.concat(chunks));
  for (const [name, value] of [
    ["config.json", files.config],
    ["tokenizer.json", files.tokenizer],
    ["tokenizer_config.json", files.tokenizerConfig],
  ] as const) {
    await writeFile(join(to, name), JSON.stringify(value));
  }
}

describe("a generation interrupted at random", () => {
  const INTERRUPTIONS = 50;
  const PROCESSES = 10;
  const TOKENS = 60;
  const PROMPT = "the oscillators agree";

  it(`${INTERRUPTIONS} times, each saved to a file and resumed by another process, gives the same text`, {
    timeout: 1_200_000,
  }, async () => {
    const files = await goldenModelFiles("native_long");
    const modelFolder = join(folder, "model");
    await writeModel(files, modelFolder);
    const model = await Model.load(await testGpu(), files, { slots: 2 });
    const sampling = { temperature: 1, topK: 0, topP: 1, repetitionPenalty: 1.4 };
    const seed = 2026;
    // Stop strings that never occur but start with frequent characters, so that text is often held back.
    const free = await collect(model.generate(PROMPT, { ...sampling, seed, maxTokens: TOKENS }));
    const stopSequences = [...new Set(free.text)].slice(0, 40).map((character) => `${character}\u0001never`);
    const options = { ...sampling, stopSequences };
    const whole = await collect(model.generate(PROMPT, { ...options, seed, maxTokens: TOKENS }));
    expect(whole).toMatchObject({ text: free.text, reason: "length" });

    const next = mulberry32(50);
    let heldBack = 0;
    let undecoded = 0;
    interface Interrupted {
      readonly count: number;
      readonly text: string;
      readonly path: string;
    }
    const interrupt = async (index: number): Promise<Interrupted> => {
      const count = 1 + Math.floor(next() * (TOKENS - 1));
      const stream = model.open();
      let text = "";
      let seen = 0;
      for await (const piece of model.generate(PROMPT, { ...options, seed, maxTokens: TOKENS, stream })) {
        text += piece.text;
        if (++seen === count) break;
      }
      const path = join(folder, `${index}.state`);
      await writeFile(path, await model.save(stream));
      heldBack += Number(stream.text.text !== "");
      undecoded += Number(stream.text.bytes.length > 0);
      stream.close();
      return { count, text, path };
    };
    const interrupted: Interrupted[] = [];
    for (let index = 0; index < INTERRUPTIONS; index++) interrupted.push(await interrupt(index));

    /** Resumes some in a new process. A process for each would only start the same program more often. */
    const resume = async (some: readonly Interrupted[]): Promise<number> => {
      const work = some.flatMap(({ path, count }) => [
        path,
        JSON.stringify({ ...options, maxTokens: TOKENS - count }),
      ]);
      const { pid, results } = JSON.parse(await fresh("worker", modelFolder, ...work)) as {
        pid: number;
        results: readonly { text: string; tokens: number[]; reason: string }[];
      };
      expect(results).toHaveLength(some.length);
      for (const [i, { count, text }] of some.entries()) {
        const resumed = results[i]!;
        expect(text + resumed.text, `interrupted after ${count}`).toBe(whole.text);
        expect(resumed.tokens).toEqual(whole.tokens.slice(count));
        expect(resumed.reason).toBe("length");
      }
      return pid;
    };
    const pids = new Set([process.pid]);
    for (let at = 0; at < INTERRUPTIONS; at += INTERRUPTIONS / PROCESSES) {
      pids.add(await resume(interrupted.slice(at, at + INTERRUPTIONS / PROCESSES)));
    }
    expect(pids.size).toBe(1 + PROCESSES);
    expect(new Set(interrupted.map(({ count }) => count)).size).toBeGreaterThan(20);
    expect(heldBack).toBeGreaterThan(5);
    expect(undecoded).toBeGreaterThan(2);
  });

  it("3 times on the command line with the default model gives the same text", {
    timeout: 900_000,
  }, async () => {
    const total = 48;
    const flags = [
      "--model",
      "weights/shakespeare",
      "--repetition-penalty",
      "1.2",
      "--stop",
      "e!!",
      "ROMEO!!",
    ];
    const generate = async (...args: string[]): Promise<string> => {
      const response: unknown = JSON.parse(await fresh("cli", "generate", ...args, "--json", ...flags));
      return (response as { text: string }).text;
    };
    const begin = ["ROMEO:\nBut soft", "--seed", "7"];
    const whole = await generate(...begin, "--max-tokens", String(total));
    expect(whole.length).toBeGreaterThan(20);
    const next = mulberry32(3);
    for (let index = 0; index < 3; index++) {
      const count = 1 + Math.floor(next() * (total - 1));
      const state = join(folder, `cli-${index}.state`);
      const first = await generate(...begin, "--max-tokens", String(count), "--state-out", state);
      const rest = await generate("--state", state, "--max-tokens", String(total - count));
      expect(first + rest, `interrupted after ${count}`).toBe(whole);
    }
  });
});
