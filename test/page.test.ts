import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { AxeBuilder } from "@axe-core/playwright";
import type { Locator, Page, Request } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { orderParameter } from "../engine/diagnostics/coherence.ts";
import { defaultModelFolder } from "../engine/platform/node/files.ts";
import { type Launched, launchChromium } from "./chromium.ts";
import { resonant } from "./cli.ts";
import { randomIntegers, testGpu } from "./gpu.ts";
import { loadDefault, writeModel } from "./models.ts";
import { NOWHERE, openPage, overflow, SCREENS, screenshot, type Visited, visit } from "./pages.ts";
import { startServer, type TestServer } from "./server.ts";

const PROMPT = "ROMEO:";
const SEED = 1;
/** The most tokens that a test compares with the command line's. */
const MOST = 70;

let server: TestServer;
let chromium: Launched;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "resonant-page-"));
  server = await startServer(undefined); // the page loads its own model
  chromium = await launchChromium({ webgpu: true, args: [NOWHERE] });
}, 600_000);

afterAll(async () => {
  await chromium?.close();
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Waits for the model. */
const ready = (page: Page): Promise<void> => page.getByRole("tab", { name: "Write" }).waitFor();

async function sample(page: Page, settings: Readonly<Record<string, number>>): Promise<void> {
  const controls = page.locator(".sampling");
  if (!(await controls.evaluate((details) => (details as HTMLDetailsElement).open)))
    await page.getByText("Sampling", { exact: true }).click();
  for (const [name, value] of Object.entries(settings)) {
    const control = name === "Seed" ? page.getByLabel(name) : page.getByRole("spinbutton", { name });
    await control.fill(`${value}`);
    await control.press("Tab");
  }
}

/** The colours in which each screen is tested. */
const OWN_COLOURS = { desktop: "light", phone: "dark" } as const;
/** Those of the other tests. */
const COLOURS_AND_SIZE = { viewport: { width: 1280, height: 720 }, colorScheme: "light" } as const;

const session = (page: Page, name = "Text"): Locator => page.getByRole("article", { name, exact: true });
const draft = (of: Locator): Locator => of.getByRole("textbox");
const button = (of: Locator | Page, name: string): Locator => of.getByRole("button", { name, exact: true });
const written = async (of: Locator): Promise<string> =>
  (await of.locator(".transcript p").textContent()) ?? "";
const grownTo = (of: Locator, length: number): Promise<void> =>
  expect
    .poll(() => written(of).then((text) => text.length), { timeout: 200_000 })
    .toBeGreaterThanOrEqual(length);
const ended = (of: Locator): Promise<void> => of.getByRole("status").filter({ hasText: "tokens" }).waitFor();

async function write(page: Page, prompt: string, tokens: number): Promise<void> {
  await sample(page, { Seed: SEED, "Most tokens": tokens });
  await draft(session(page)).fill(prompt);
  await button(session(page), "Write").click();
}

/** Returns what the command line writes on the same software driver as Chromium. */
async function cliText(args: readonly string[]): Promise<string> {
  const env = { VK_DRIVER_FILES: "/nonexistent.json", VK_ICD_FILENAMES: "/nonexistent.json" };
  const { out, err, code } = await resonant(["generate", "--json", ...args], { env });
  if (code !== 0) throw new Error(err);
  return (JSON.parse(out) as { text: string }).text;
}

let continuation: Promise<string> | undefined;
/** Returns the first `tokens` of what the command line writes after the prompt; a byte is one token of the default model. */
async function cliContinuation(tokens: number): Promise<string> {
  continuation ??= cliText([PROMPT, "-n", `${MOST}`, "--seed", `${SEED}`]);
  expect(await continuation).toHaveLength(MOST);
  return (await continuation).slice(0, tokens);
}

/** Kills Chromium's GPU process, as a driver crash does. */
async function loseDevice(): Promise<void> {
  const session = await chromium.browser.newBrowserCDPSession();
  await session.send("Browser.crashGpuProcess").catch(() => undefined);
  await session.detach();
}

/** Returns the serious accessibility faults that axe finds. */
async function faults(page: Page): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.map(({ target }) => `${id}: ${target}`));
}

describe("the page", () => {
  // A software driver takes seconds to compile a model's kernels, so these share one page.
  let visited: Visited;
  let page: Page;
  /** Whether a test has failed, and may have left anything. */
  let spoiled: boolean;
  /** The errors that a test causes itself. */
  let expected: RegExp | undefined;

  beforeAll(async () => {
    visited = await openPage(chromium, new URL("/demo/", server.url), COLOURS_AND_SIZE);
    ({ page } = visited);
    spoiled = false;
  });
  beforeEach(async () => {
    expected = undefined;
    if (spoiled) await page.reload();
    spoiled = false;
    await ready(page);
    await startOver();
  });
  afterEach(({ task }) => {
    if (task.result?.state === "fail") spoiled = true;
    expect(visited.wrong().filter((each) => !expected?.test(each))).toEqual([]);
  });
  afterAll(() => visited?.close());

  /** Leaves one empty text, with the seed and the closed controls of a new page. */
  async function startOver(): Promise<void> {
    await page.getByRole("tab", { name: "Write" }).click();
    const second = button(page, "Close Second text");
    if ((await second.count()) > 0) await second.click();
    await sample(page, { Seed: SEED });
    await page.getByText("Sampling", { exact: true }).click();
    const again = button(session(page), "Start over");
    if (await again.isEnabled()) await again.click();
    await draft(session(page)).fill("");
  }

  it("writes with a seed what the command line writes", async () => {
    await write(page, PROMPT, 60);
    await ended(session(page));
    expect(await written(session(page))).toBe(PROMPT + (await cliContinuation(60)));
  });

  it("refuses a file that is not a state, naming it, and keeps the text", async () => {
    await write(page, PROMPT, 5);
    await ended(session(page));
    const text = await written(session(page));
    await page
      .getByLabel("State file for Text")
      .setInputFiles({ name: "holiday.jpg", mimeType: "image/jpeg", buffer: Buffer.from("no state") });
    await page
      .getByRole("alert")
      .filter({ hasText: /holiday\.jpg/i })
      .waitFor();
    expect(await written(session(page))).toBe(text);
    await button(session(page), "Continue").click();
    await ended(session(page));
    expect((await written(session(page))).length).toBeGreaterThan(text.length);
  });

  it("forks a text into two that continue independently, the first as if alone", async () => {
    await write(page, PROMPT, 20);
    await ended(session(page));
    await button(session(page), "Fork").click();
    const both = ["First text", "Second text"].map((name) => session(page, name));
    for (const each of both) await button(each, "Continue").click();
    for (const each of both) await ended(each);
    const [first, second] = await Promise.all(both.map(written));
    expect(first).toBe(PROMPT + (await cliContinuation(40)));
    expect(second).not.toBe(first);
    expect(second).toHaveLength(first!.length);
    expect(second!.slice(0, PROMPT.length + 20)).toBe(first!.slice(0, PROMPT.length + 20));
    await screenshot(page, "fork");
    await button(both[1]!, "Close Second text").click();
    expect(await written(session(page))).toBe(first);
  });

  it("shows the stream's state in its oscillators: each layer's order parameter", async () => {
    await write(page, PROMPT, 40);
    await ended(session(page));
    const layers = page.getByRole("button", { name: /^Layer \d/ });
    const shown = await layers.evaluateAll((all) => all.map(({ textContent }) => textContent ?? ""));
    const saving = page.waitForEvent("download");
    await button(session(page), "Save state").click();
    const model = await loadDefault(await testGpu());
    const stream = await model.restore(new Uint8Array(await readFile(await (await saving).path())));
    const { state } = await model.runner.pool.read(stream.slot);
    const { size, taps } = model.weights.shape;
    const count = model.weights.blocks.length;
    const layerOf = (layer: number): Float32Array =>
      state.subarray((layer * state.length) / count).subarray((taps - 1) * size, taps * size);
    const expected = Array.from({ length: count }, (_, layer) => orderParameter(layerOf(layer)).toFixed(2));
    for (const [layer, R] of expected.entries())
      expect(shown.join("\n")).toContain(`Layer ${layer + 1} R ${R}`);
    stream.close();
  });

  it("asks for a search's missing input, and searches its sample", async () => {
    await page.getByRole("tab", { name: "Search" }).click();
    await button(page, "Search").click();
    await page.getByRole("alert").filter({ hasText: "empty" }).waitFor();
    await button(page, "Try a sample").click();
    const first = page.locator(".search-matches button").first();
    await first.waitFor();
    expect(await page.getByLabel("Needle").inputValue()).toContain("wrote her name in sallt");
    expect(await first.textContent()).toContain("wrote his name in salt");
  });

  it("can be used with the keyboard only", async () => {
    const focused = (): Promise<string> => page.evaluate(() => document.activeElement?.textContent ?? "");
    while ((await focused()) !== "Write") await page.keyboard.press("Tab");
    await page.keyboard.press("ArrowRight");
    expect(await focused()).toBe("Search");
    await page.getByLabel("Needle").waitFor();
    await page.keyboard.press("ArrowRight");
    await draft(session(page)).waitFor();
    const writes = (): Promise<boolean> =>
      page.evaluate(() => document.activeElement?.tagName === "TEXTAREA");
    while (!(await writes())) await page.keyboard.press("Tab");
    await page.keyboard.type(PROMPT);
    await page.keyboard.press("Control+Enter");
    await grownTo(session(page), PROMPT.length + 4);
    while ((await focused()) !== "Stop") await page.keyboard.press("Tab");
    await page.keyboard.press("Space");
    await ended(session(page));
  });

  it("explains an invalid seed, and keeps the prompt", async () => {
    await page.getByText("Sampling", { exact: true }).click();
    await page.getByLabel("Seed").fill("many");
    await draft(session(page)).fill(PROMPT);
    await button(session(page), "Write").click();
    await page.getByRole("alert").filter({ hasText: "The seed is a whole number" }).waitFor();
    expect(await draft(session(page)).inputValue()).toBe(PROMPT);
  });

  describe.each(SCREENS)("on a %s", (screen, viewport) => {
    beforeAll(() => page.setViewportSize(viewport));
    afterAll(async () => {
      await page.setViewportSize(COLOURS_AND_SIZE.viewport);
      await page.emulateMedia({ colorScheme: COLOURS_AND_SIZE.colorScheme });
    });

    // A screen's size changes no colour, and colours no layout; pictures for people are taken of all.
    const colours = process.env.SCREENSHOTS ? (["light", "dark"] as const) : [OWN_COLOURS[screen]];
    it.each(colours)("has no serious accessibility fault in %s colours, and fits", async (colorScheme) => {
      const name = `${screen}-${colorScheme}`;
      await page.emulateMedia({ colorScheme });
      if (process.env.SCREENSHOTS) {
        await page.reload();
        await screenshot(page, `loading-${name}`);
        await ready(page);
      }
      expect(await faults(page)).toEqual([]);
      await screenshot(page, `ready-${name}`);
      await write(page, PROMPT, 60);
      await ended(session(page));
      expect(await faults(page)).toEqual([]);
      expect(await overflow(page)).toBe(0);
      await screenshot(page, `written-${name}`);
      await page.getByRole("tab", { name: "Search" }).click();
      expect(await faults(page)).toEqual([]);
      expect(await overflow(page)).toBe(0);
      await screenshot(page, `search-${name}`);
      await page.getByRole("button", { name: /^Model/ }).click();
      expect(await faults(page)).toEqual([]);
      expect(await overflow(page)).toBe(0);
      await screenshot(page, `model-${name}`);
      await page.keyboard.press("Escape");
    });
  });

  it("continues a state saved before a reload exactly, with weights of the cache, and so does the command line", async () => {
    await write(page, PROMPT, 400);
    await grownTo(session(page), 16);
    await button(session(page), "Stop").click();
    await ended(session(page));
    const first = await written(session(page));
    const whole = PROMPT + (await cliContinuation(MOST));
    const rest = whole.length - first.length;
    expect(rest).toBeGreaterThan(0);
    expect(whole.startsWith(first)).toBe(true);
    const saving = page.waitForEvent("download");
    await button(session(page), "Save state").click();
    const file = join(folder, "saved.state");
    await (await saving).saveAs(file);

    const fetched: string[] = [];
    const listen = (request: Request): void => {
      if (request.url().endsWith(".safetensors")) fetched.push(request.method());
    };
    page.context().on("request", listen);
    await page.reload();
    await ready(page);
    page.context().off("request", listen);
    expect(fetched).toEqual(["HEAD"]);
    await page.getByLabel("State file for Text").setInputFiles(file);
    await session(page).getByText("The text before is not in the file").waitFor();
    await sample(page, { Seed: SEED, "Most tokens": rest });
    await button(session(page), "Continue").click();
    await ended(session(page));
    expect(first + (await written(session(page)))).toBe(whole);
    expect(first + (await cliText(["--state", file, "-n", `${rest}`]))).toBe(whole);
  });

  it("survives the loss of its device, and finishes the current text with the same tokens", async () => {
    expected = /GPU|WebGPU|device|context/i;
    await write(page, PROMPT, 20);
    await ended(session(page));
    await sample(page, { "Most tokens": MOST - 20 });
    await button(session(page), "Continue").click();
    await grownTo(session(page), 36);
    await loseDevice();
    const alert = page.getByRole("alert").filter({ hasText: "The GPU was lost" });
    await alert.waitFor();
    await screenshot(page, "lost");
    await button(page, "Try again").click();
    await ended(session(page));
    expect(await alert.count()).toBe(0);
    await screenshot(page, "found-again");
    expect(await written(session(page))).toBe(PROMPT + (await cliContinuation(MOST)));
  });

  // The last tests of the page: they leave it with another model.
  describe("with another model", () => {
    const choose = async (from: string): Promise<void> => {
      await page.getByRole("button", { name: /^Model/ }).click();
      await page.getByLabel("Weights kept as").selectOption("f32");
      await page.getByLabel(/^Drop a model's folder/).setInputFiles(from);
    };

    it("loads from an address with fewer bits, and replaces the first only when complete", async () => {
      expected = /404/;
      await write(page, PROMPT, 5);
      await ended(session(page));
      const before = await written(session(page));
      const model = page.getByRole("button", { name: /^Model/ });
      await model.click();
      const dialog = page.getByRole("dialog", { name: "Model" });
      await dialog.getByText(/MB of weights are kept/).waitFor();
      await dialog.getByLabel(/^Address/).fill("nowhere/");
      await button(dialog, "Load").click();
      const refusal = page.getByRole("alert").filter({ hasText: "nowhere/config.json" });
      await refusal.waitFor();
      await screenshot(page, "refused");
      await button(page, "Go on with it").click();
      expect(await refusal.count()).toBe(0);
      expect(await written(session(page))).toBe(before);
      await button(session(page), "Continue").click();
      await ended(session(page));

      await model.click();
      await dialog.getByLabel("Weights kept as").selectOption("q8");
      await dialog.getByLabel(/^Address/).fill("model/");
      await button(dialog, "Load").click();
      await page.getByRole("button", { name: "Model: model, q8" }).waitFor();
      await write(page, PROMPT, 5);
      await ended(session(page));
      expect((await written(session(page))).length).toBeGreaterThan(PROMPT.length);
    });

    it("loads from a local folder; a folder without a model is refused, naming the missing file", async () => {
      await mkdir(join(folder, "empty"));
      await writeFile(join(folder, "empty", "notes.txt"), "none");
      await choose(join(folder, "empty"));
      await page
        .getByRole("alert")
        .filter({ hasText: /config\.json/ })
        .filter({ hasText: "notes.txt" })
        .waitFor();
      await choose(await defaultModelFolder());
      await write(page, PROMPT, 20);
      await ended(session(page));
      expect(await written(session(page))).toBe(PROMPT + (await cliContinuation(20)));
    });

    it("finds a needle in 100,000 characters, shows the place, and marks it in the text", async () => {
      // A small model: the default model's search of so long a text takes a minute on a software driver.
      await writeModel(join(folder, "tiny"));
      await choose(join(folder, "tiny"));
      await page.getByRole("button", { name: /^Model: tiny/ }).waitFor();
      await ready(page);
      await page.getByRole("tab", { name: "Search" }).click();
      const needle = "The owl keeps the harbour keys beneath a green stone.";
      const { text, at } = haystack(needle);
      expect(text.length).toBeGreaterThanOrEqual(100_000);
      await page.getByLabel("Text to search").fill(text);
      await page.getByLabel("Needle").fill(needle);
      await page.getByLabel("Needle").press("Enter");
      const first = page.locator(".search-matches button").first();
      await first.waitFor();
      const told = (await first.textContent()) ?? "";
      expect(told).toContain(needle);
      expect(told).toContain(`character ${at.toLocaleString("en")}`);
      expect(told).toContain("Similarity 1character");
      await first.click();
      const mark = page.locator(".search-text [data-match='0']").first();
      expect(await mark.textContent()).toBe(needle);
      expect(await mark.evaluate((element) => element.checkVisibility())).toBe(true);
      expect(await faults(page)).toEqual([]);
      await screenshot(page, "found");
    });
  });
});

/** A hundred thousand characters of made-up words that contain one real sentence. */
function haystack(needle: string): { text: string; at: number } {
  const letters = Array.from(randomIntegers(7, 200_000, 14), (i) => "etaoinshrdlu  "[i]).join("");
  const at = 61_800;
  return { text: `${letters.slice(0, at - 1)} ${needle} ${letters.slice(at, 100_000)}`, at };
}

it("reports missing WebGPU, and tries again when asked", async () => {
  const without = await launchChromium({ args: [NOWHERE, "--disable-features=WebGPU,WebGPUService"] });
  try {
    await visit(without, new URL("/demo/", server.url), { expected: /WebGPU|GPU/ }, async (page) => {
      const heading = page.getByRole("heading", { name: "WebGPU is missing" });
      await heading.waitFor();
      expect(await page.getByRole("alert").textContent()).toMatch(/WebGPU/);
      expect(await faults(page)).toEqual([]);
      await screenshot(page, "no-webgpu");
      const again = page.waitForEvent("worker"); // the progress bar may be gone before it is seen
      await button(page, "Try again").click();
      await again;
      await heading.waitFor();
    });
  } finally {
    await without.close();
  }
});

it("is at most 125 kB, compressed, without the model, and 35 kB more for what only other models need", async () => {
  const root = fileURLToPath(new URL("../dist/demo", import.meta.url));
  const files = (await readdir(root, { recursive: true })).filter((file) => file.endsWith(".br"));
  const sizes = await Promise.all(
    files.map(async (file) => [file, (await stat(join(root, file))).size] as const),
  );
  const total = (others: boolean): number =>
    sizes
      .filter(([file]) => /(?:chat-template|program|pt)-/.test(file) === others)
      .reduce((sum, [, size]) => sum + size, 0);
  expect(files.length).toBeGreaterThan(3);
  expect(total(false)).toBeLessThan(125_000);
  expect(total(true)).toBeGreaterThan(0);
  expect(total(true)).toBeLessThan(35_000);
});

describe("the page's routes", () => {
  const get = (path: string): Promise<Response> =>
    fetch(server.url + path, { redirect: "manual", headers: { "Accept-Encoding": "gzip, br" } });

  it("lead to it, and allow requests only to servers of models", async () => {
    const response = await get("/demo");
    expect([response.status, response.headers.get("location")]).toEqual([302, "demo/"]);
    const page = await get("/demo/");
    expect(page.headers.get("content-type")).toMatch(/^text\/html/);
    expect(page.headers.get("content-security-policy")).toMatch(/default-src 'none'; script-src 'self';/);
    expect(page.headers.get("cache-control")).toBe("no-cache");
    expect(await page.text()).not.toMatch(/https?:|<script>/);
  });

  it("serve built files compressed and as immutable", async () => {
    const [, script] = /src="\.(\/assets\/[^"]+\.js)"/.exec(await (await get("/demo/")).text()) ?? [];
    const response = await get(`/demo${script}`);
    expect(response.headers.get("cache-control")).toMatch(/immutable/);
    expect(response.headers.get("content-encoding")).toBe("br");
    expect(response.headers.get("content-type")).toMatch(/javascript/);
  });

  it.each([
    "/demo/nothing.js",
    "/demo/..%2Fcli.js",
    "/demo/model/..%2F..%2Fpackage.json",
    "/demo/model/none",
  ])("do not serve %s", async (path) => {
    expect((await get(path)).status).toBe(404);
  });
});
