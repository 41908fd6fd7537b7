// Compares the page with Node: its size, and the default model's tokens per second on the same adapter. Both take turns.
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Command } from "commander";
import { atLeast } from "./rivals/at-least.mjs";
import { bundleLibrary, findChromium, openChromium } from "./rivals/chromium.mjs";
import { startInNode } from "./rivals/processes.mjs";
import { nameOf, publish, sameAdapter } from "./rivals/report.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const dist = join(root, "dist");
const weights = join(root, "weights/shakespeare");

const options = new Command("page.mjs")
  .description("Compare the browser page with Node on the same adapter: its size, and tokens per second.")
  .option("--tokens <n>", "tokens to generate", atLeast(16), 200)
  .option("--rounds <n>", "measured rounds, after one warm-up round", atLeast(1), 3)
  .option("--chromium <file>", "default: the first Chromium or Chrome on the path")
  .option(
    "--chromium-arg <switch>",
    "an additional switch for Chromium; may be repeated",
    (value, all) => [...all, value],
    [],
  )
  .option("--out <file>", "default: bench/results/DATE-ADAPTER-page.json")
  .option("--json", "print the written JSON instead of a table")
  .exitOverride(({ exitCode }) => process.exit(exitCode && 2))
  .parse()
  .opts();

const note = (text) => process.stderr.write(`${text}\n`);
/** Each byte is one token of the default model. */
const PROMPT = "ROMEO:";
const SEED = 1;

const work = await mkdtemp(join(tmpdir(), "resonant-page-"));
try {
  const report = await measure();
  await publish(report, { ...options, adapter: report.adapter, what: "page", table });
} catch (error) {
  note(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
} finally {
  await rm(work, { recursive: true, force: true, maxRetries: 3 });
}

async function measure() {
  const executable = options.chromium ?? findChromium();
  const page = join(work, "page");
  await bundleLibrary(page);
  const folders = {
    page,
    engines: join(root, "bench/rivals/engines"),
    model: weights,
    demo: join(dist, "demo"),
  };
  const chromium = await openChromium(executable, folders, options.chromiumArg);
  const open = [chromium];
  try {
    const opening = { library: pathToFileURL(join(dist, "node.js")).href, model: weights, format: "f32" };
    const node = await startInNode("resonant.mjs", opening, chromium, executable);
    open.unshift(node);
    const library = await chromium.open("/engines/resonant.mjs", {
      library: "/page/resonant.js",
      model: `${chromium.origin}/model/`,
      format: "f32",
    });
    const demo = await openDemo(chromium);
    const prompt = Array.from(Buffer.from(PROMPT));
    const speed = async (engine) => 1000 / (await engine.run(prompt, options.tokens)).stepMs;
    const ways = [
      { name: "library in Node", run: () => speed(node) },
      { name: "library in Chromium", run: () => speed(library) },
      { name: "page, oscillators in view", run: () => demo.write("Write") },
      { name: "page, oscillators out of view", run: () => demo.write("Search") },
    ].map((way) => ({ ...way, rates: [] }));
    for (let round = 0; round <= options.rounds; round++) {
      for (const { name, run, rates } of ways) {
        note(`${name}: ${round === 0 ? "warming up" : `round ${round}`}`);
        const rate = await run();
        if (round > 0) rates.push(rate);
      }
    }
    const [{ rates: inNode }] = ways;
    return {
      date: new Date().toISOString().slice(0, 10),
      chromium: chromium.version,
      node: process.version,
      adapter: library.adapter,
      sameAdapter: sameAdapter(node.adapter, library.adapter),
      tokens: options.tokens,
      rounds: options.rounds,
      bytes: await sizes(),
      rows: ways.map(({ name, rates }) => ({
        name,
        tokensPerSecond: { median: median(rates), least: Math.min(...rates), most: Math.max(...rates) },
        // Compares within a round, because other work on the machine affects both alike.
        ratioToNode: median(rates.map((rate, round) => rate / inNode[round])),
      })),
    };
  } finally {
    for (const each of open) await each.close();
  }
}

/** Opens the page as a visitor sees it. */
async function openDemo(chromium) {
  const page = await chromium.newPage({ viewport: { width: 1280, height: 900 } });
  page.setDefaultTimeout(120_000);
  await page.goto(`${chromium.origin}/demo/index.html`);
  const tab = (name) => page.getByRole("tab", { name, exact: true }).click();
  await page.getByRole("tab", { name: "Write" }).waitFor();
  await page.getByText("Sampling", { exact: true }).click();
  await page.getByLabel("Seed").fill(`${SEED}`);
  await page.getByRole("spinbutton", { name: "Most tokens" }).fill(`${options.tokens}`);
  await page.getByRole("spinbutton", { name: "Temperature", exact: true }).fill("0");
  await page.getByText("Sampling", { exact: true }).click();
  const button = (name) => page.getByRole("button", { name, exact: true });
  let fresh = true;
  return {
    /** Generates with the tab `shown` open; returns the tokens per second that the page displays. */
    async write(shown) {
      if (!fresh) await button("Start over").click();
      fresh = false;
      await page.getByRole("textbox", { name: "Begin a text" }).fill(PROMPT);
      await button("Write").click();
      await tab(shown);
      await page
        .locator("[role=status]", { hasText: `${options.tokens} tokens` })
        .waitFor({ state: "attached" });
      await tab("Write");
      const told = await page.locator(".figures div", { hasText: "Speed" }).locator("dd").textContent();
      return Number(/^[\d.,]+/.exec(told)[0].replaceAll(",", ""));
    },
  };
}

/** Returns the bytes that a visit to the page downloads. */
async function sizes() {
  const files = await readdir(join(dist, "demo"), { recursive: true });
  const sum = async (folder, names) => {
    const all = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).size));
    return all.reduce((total, size) => total + size, 0);
  };
  const built = files.filter((file) => file.endsWith(".br"));
  return {
    page: await sum(join(dist, "demo"), built),
    pageUncompressed: await sum(
      join(dist, "demo"),
      built.map((file) => file.slice(0, -3)),
    ),
    model: await sum(weights, await readdir(weights)),
  };
}

function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

function table({ adapter, sameAdapter, chromium, node, date, tokens, rounds, bytes, rows }) {
  const kB = (size) => `${(size / 1000).toLocaleString("en", { maximumFractionDigits: 0 })} kB`;
  const number = (value) => value.toPrecision(3);
  return [
    `page without model   ${kB(bytes.page)} compressed (brotli), ${kB(bytes.pageUncompressed)} uncompressed`,
    `model                ${kB(bytes.model)}`,
    "",
    `${nameOf(adapter)}, adapter in Node: ${sameAdapter}; Chromium ${chromium}, Node ${node}, ${date}`,
    "",
    "| default model, f32 | tokens/s | compared with Node |",
    "| --- | ---: | ---: |",
    ...rows.map(({ name, tokensPerSecond: { median, least, most }, ratioToNode }) => {
      return `| ${name} | ${number(median)} (${number(least)}–${number(most)}) | ${ratioToNode.toFixed(2)} × |`;
    }),
    "",
    `${tokens} tokens; median (minimum–maximum) of ${rounds} rounds, taken in turns.`,
    "",
  ].join("\n");
}
