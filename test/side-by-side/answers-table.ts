import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, it } from "vitest";
import { table } from "../../cli/terminal.ts";
import type { FileServer } from "../../engine/platform/browser/testing/file-server.ts";
import { defaultModelFolder } from "../../engine/platform/node/files.ts";
import { fetchSoftwareStack } from "../../engine/platform/node/software-stack.ts";
import type { Answers } from "../answers.ts";
import { answersInPage, serveAnswersPage } from "../answers-page.ts";
import { launchChromium } from "../chromium.ts";
import { lackingDeno, runInDeno } from "../deno/deno.ts";
import type { Spoken, ToAsk } from "../deno/speak.ts";
import { lackingFirefox, launchFirefox } from "../firefox.ts";
import { fixturePath } from "../models.ts";

/** What an engine gave, or the reason why it gave nothing. */
interface Row {
  readonly engine: string;
  readonly adapter: string;
  readonly answers?: Answers;
}

const dist = fixturePath("../../dist");
let folder: string;
let page: FileServer;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "resonant-answers-"));
  page = await serveAnswersPage();
  await build({
    stdin: {
      contents: `import { answersOf } from "./test/answers.ts";
        const library = await import(process.argv[2]);
        const model = await library.loadModel({ format: "f16", slots: 4 });
        console.log(JSON.stringify({ adapter: model.gpu.name, answers: await answersOf(library, model) }));
        process.exit(0);`,
      resolveDir: fixturePath("../.."),
    },
    bundle: true,
    format: "esm",
    platform: "node",
    outfile: join(folder, "speak.mjs"),
  });
});
afterAll(async () => {
  await page?.close();
  await rm(folder, { recursive: true });
});

async function inNode(env: Readonly<Record<string, string>> = {}): Promise<Row> {
  const args = [join(folder, "speak.mjs"), pathToFileURL(join(dist, "node.js")).href];
  const options = { env: { ...process.env, ...env }, maxBuffer: 2 ** 28 };
  const { stdout } = await promisify(execFile)(process.execPath, args, options);
  return { engine: "Node", ...(JSON.parse(stdout) as { adapter: string; answers: Answers }) };
}

/** Node on the SwiftShader that Chromium computes on. */
async function inNodeAsChromium(): Promise<Row> {
  const stack = await fetchSoftwareStack({ members: ["swiftshader.tar.br"] });
  const driver = join(stack["swiftshader.tar.br"], "vk_swiftshader_icd.json");
  return inNode({ VK_DRIVER_FILES: driver, VK_ICD_FILENAMES: driver });
}

async function inChromium(): Promise<Row> {
  const { browser, close } = await launchChromium({ webgpu: true });
  try {
    const tab = await browser.newPage();
    await tab.goto(`${page.origin}/index.html`);
    const adapter = await tab.evaluate(
      async () => (await navigator.gpu.requestAdapter())?.info.description ?? "",
    );
    return { engine: "Chromium", adapter, answers: await tab.evaluate(answersInPage) };
  } finally {
    await close();
  }
}

async function inDeno(): Promise<Row> {
  if (lackingDeno) return { engine: "Deno", adapter: "not installed" };
  const model = await defaultModelFolder();
  const files = Object.fromEntries((await readdir(model)).map((name) => [name, join(model, name)]));
  const asked: readonly ToAsk[] = [{ files, format: "f16" }];
  await writeFile(join(folder, "asked.json"), JSON.stringify(asked));
  const args = [join(dist, "browser.js"), join(folder, "asked.json")];
  const { adapter, answers } = await runInDeno<Spoken>("speak.ts", args, folder);
  if (adapter === null) return { engine: "Deno", adapter: "no adapter" };
  return { engine: "Deno", adapter, answers: answers[0]! };
}

async function inFirefox(): Promise<Row> {
  if (lackingFirefox) return { engine: "Firefox", adapter: "not installed" };
  const firefox = await launchFirefox();
  try {
    await firefox.open(`${page.origin}/index.html`);
    const software = await firefox.evaluate(async () => {
      const adapter = await navigator.gpu?.requestAdapter();
      return adapter ? adapter.info.isFallbackAdapter : null;
    });
    if (software === null) return { engine: "Firefox", adapter: "no adapter" };
    const answers = await firefox.evaluate(answersInPage);
    // Firefox hides the name. The only software driver that it can have is the system's llvmpipe.
    return { engine: "Firefox", adapter: software ? "llvmpipe (not told)" : "a GPU (not told)", answers };
  } finally {
    await firefox.close();
  }
}

const digest = (of: unknown): string =>
  createHash("sha256").update(JSON.stringify(of)).digest("hex").slice(0, 12);

/** Texts with their metrics, a batch and a score come first, then the searches. */
const cellsOf = ({ text, rest, logprobs }: Answers): string[] => {
  const parts = rest as readonly unknown[];
  return [JSON.stringify(text), digest(parts.slice(0, 4)), digest(parts.slice(4)), digest(logprobs)];
};

const driverOf = (adapter: string): string =>
  /llvmpipe|swiftshader/i.exec(adapter)?.[0].toLowerCase() ?? adapter;

it("every engine answers what Node answers on the same driver, to the bit", async () => {
  const nodes = [await inNode(), await inNodeAsChromium()];
  const rows = [nodes[0]!, await inDeno(), await inFirefox(), nodes[1]!, await inChromium()];
  const differing: string[] = [];
  const shown = rows.map((row) => {
    const { engine, adapter, answers } = row;
    if (!answers) return [engine, adapter];
    const node = nodes.find((of) => driverOf(of.adapter) === driverOf(adapter));
    const same = node && digest(node.answers) === digest(answers);
    if (node && !same) differing.push(engine);
    const verdict = nodes.includes(row) ? "" : node ? (same ? "yes" : "NO") : "another driver";
    return [engine, driverOf(adapter), ...cellsOf(answers), verdict];
  });
  const head = ["engine", "adapter", "text", "texts' metrics", "search", "log-probabilities", "as Node"];
  console.log(`The default model in f16, seed 7; digests of what is long.\n\n${table([head, ...shown])}`);
  expect(differing).toEqual([]);
});
