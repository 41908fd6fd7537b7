import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AxeBuilder } from "@axe-core/playwright";
import type { BrowserContextOptions, Locator, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Launched, launchChromium } from "./chromium.ts";
import { resonant } from "./cli.ts";
import { NOWHERE, overflow, SCREENS, screenshot, visit } from "./pages.ts";
import { startServer, type TestServer } from "./server.ts";

const PROMPT = "ROMEO:";
const SEED = 1;

let server: TestServer;
let chromium: Launched;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "resonant-page-"));
  server = await startServer(undefined); // the page has a model of its own
  chromium = await launchChromium({ webgpu: true, args: [NOWHERE] });
}, 600_000);

afterAll(async () => {
  await chromium?.close();
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

const open = (
  use: (page: Page) => Promise<void>,
  options: BrowserContextOptions & { readonly expected?: RegExp } = {},
): Promise<void> => visit(chromium, new URL("/demo/", server.url), options, use);

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

const pane = (page: Page, name = "Text"): Locator => page.getByRole("article", { name, exact: true });
const draft = (of: Locator): Locator => of.getByRole("textbox");
const button = (of: Locator | Page, name: string): Locator => of.getByRole("button", { name, exact: true });
const written = async (of: Locator): Promise<string> =>
  (await of.locator(".transcript p").textContent()) ?? "";
const ended = (of: Locator): Promise<void> => of.getByRole("status").filter({ hasText: "tokens" }).waitFor();

async function write(page: Page, prompt: string, tokens: number): Promise<void> {
  await sample(page, { Seed: SEED, "Most tokens": tokens });
  await draft(pane(page)).fill(prompt);
  await button(pane(page), "Write").click();
}

/** What the command line writes, on the software driver that Chromium has too. */
async function cliText(args: readonly string[]): Promise<string> {
  const env = { VK_DRIVER_FILES: "/nonexistent.json", VK_ICD_FILENAMES: "/nonexistent.json" };
  const { out, err, code } = await resonant(["generate", "--json", ...args], { env });
  if (code !== 0) throw new Error(err);
  return (JSON.parse(out) as { text: string }).text;
}

/** Ends the process that Chromium's GPU work is done in, as a crash of a driver does. */
async function loseDevice(): Promise<void> {
  const session = await chromium.browser.newBrowserCDPSession();
  await session.send("Browser.crashGpuProcess").catch(() => undefined);
  await session.detach();
}

/** Serious faults that axe finds. */
async function faults(page: Page): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.map(({ target }) => `${id}: ${target}`));
}

describe("the page", () => {
  it("writes with a seed what the command line writes", () =>
    open(async (page) => {
      await ready(page);
      await write(page, PROMPT, 60);
      await ended(pane(page));
      const text = await cliText([PROMPT, "-n", "60", "--seed", `${SEED}`]);
      expect(text.length).toBeGreaterThan(40);
      expect(await written(pane(page))).toBe(PROMPT + text);
    }));

  it("goes on from a state saved before the page was reloaded as if nothing had happened, and so does the command line", () =>
    open(async (page) => {
      await ready(page);
      await write(page, PROMPT, 50);
      await ended(pane(page));
      const whole = await written(pane(page));

      await button(pane(page), "Start over").click();
      await write(page, PROMPT, 400);
      await expect.poll(() => written(pane(page)).then(({ length }) => length)).toBeGreaterThan(15);
      await button(pane(page), "Stop").click();
      await ended(pane(page));
      const first = await written(pane(page));
      expect(whole.startsWith(first)).toBe(true);
      const saving = page.waitForEvent("download");
      await button(pane(page), "Save state").click();
      const file = join(folder, "saved.state");
      await (await saving).saveAs(file);

      await page.reload();
      await ready(page);
      await page.getByLabel("State file for Text").setInputFiles(file);
      await pane(page).getByText("The text before is not in the file").waitFor();
      const rest = PROMPT.length + 50 - first.length;
      await sample(page, { "Most tokens": rest });
      await button(pane(page), "Continue").click();
      await ended(pane(page));
      expect(first + (await written(pane(page)))).toBe(whole);
      expect(first + (await cliText(["--state", file, "-n", `${rest}`]))).toBe(whole);
    }));

  it("refuses a file that is no state by its name, and keeps the text", () =>
    open(async (page) => {
      await ready(page);
      await write(page, PROMPT, 5);
      await ended(pane(page));
      const text = await written(pane(page));
      await page
        .getByLabel("State file for Text")
        .setInputFiles({ name: "holiday.jpg", mimeType: "image/jpeg", buffer: Buffer.from("no state") });
      await page
        .getByRole("alert")
        .filter({ hasText: /holiday\.jpg/i })
        .waitFor();
      expect(await written(pane(page))).toBe(text);
      await button(pane(page), "Continue").click();
      await ended(pane(page));
      expect((await written(pane(page))).length).toBeGreaterThan(text.length);
    }));

  it("forks a text into two that go on side by side, the first as if alone", () =>
    open(async (page) => {
      await ready(page);
      await write(page, PROMPT, 20);
      await ended(pane(page));
      await button(pane(page), "Fork").click();
      const both = ["First text", "Second text"].map((name) => pane(page, name));
      for (const each of both) await button(each, "Continue").click();
      for (const each of both) await ended(each);
      const [first, second] = await Promise.all(both.map(written));
      expect(first).toBe(PROMPT + (await cliText([PROMPT, "-n", "40", "--seed", `${SEED}`])));
      expect(second).not.toBe(first);
      expect(second).toHaveLength(first!.length);
      expect(second!.slice(0, PROMPT.length + 20)).toBe(first!.slice(0, PROMPT.length + 20));
      await screenshot(page, "fork");
      await button(both[1]!, "Close Second text").click();
      expect(await written(pane(page))).toBe(first);
    }));

  it("survives the loss of its device: what was being written comes to its end, token for token", () =>
    open(
      async (page) => {
        await ready(page);
        await write(page, PROMPT, 30);
        await ended(pane(page));
        await sample(page, { "Most tokens": 60 });
        await button(pane(page), "Continue").click();
        await expect.poll(() => written(pane(page)).then(({ length }) => length)).toBeGreaterThan(45);
        await loseDevice();
        const alert = page.getByRole("alert").filter({ hasText: "The GPU was lost" });
        await alert.waitFor();
        await screenshot(page, "lost");
        await button(page, "Try again").click();
        await ended(pane(page));
        expect(await alert.count()).toBe(0);
        expect(await written(pane(page))).toBe(
          PROMPT + (await cliText([PROMPT, "-n", "90", "--seed", `${SEED}`])),
        );
      },
      { expected: /GPU|WebGPU|device|context/i },
    ));

  it("fetches the weights once: another visit takes them from the cache", () =>
    open(async (page) => {
      await ready(page);
      const fetched: string[] = [];
      page.context().on("request", (request) => {
        if (request.url().endsWith(".safetensors")) fetched.push(request.method());
      });
      await page.reload();
      await ready(page);
      expect(fetched).toEqual(["HEAD"]);
    }));
});

describe.each(SCREENS)("on a %s", (screen, viewport) => {
  it.each(["light", "dark"] as const)(
    "has no serious fault of access in %s colours, and fits",
    (colorScheme) =>
      open(
        async (page) => {
          const name = `${screen}-${colorScheme}`;
          await screenshot(page, `loading-${name}`);
          await ready(page);
          expect(await faults(page)).toEqual([]);
          await screenshot(page, `ready-${name}`);
          await write(page, PROMPT, 60);
          await ended(pane(page));
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
        },
        { viewport, colorScheme },
      ),
  );
});
