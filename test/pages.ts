import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { BrowserContextOptions, Page } from "playwright-core";
import { expect } from "vitest";
import type { Launched } from "./chromium.ts";

/** Chromium's switch that stops all name resolution, so that even its own requests cannot leave. */
export const NOWHERE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1";

/** The screen sizes on which pages are tested. */
export const SCREENS = [
  ["desktop", { width: 1280, height: 900 }],
  ["phone", { width: 390, height: 844 }],
] as const;

/** A page that a test opened. */
export interface Visited {
  readonly page: Page;
  /** Returns, once, what was wrong since it was last asked: requests to other origins, errors and violations of the policy. */
  wrong(): string[];
  close(): Promise<void>;
}

/** Opens a page in a browser context of its own. */
export async function openPage(
  { browser }: Launched,
  url: URL,
  options: BrowserContextOptions = {},
): Promise<Visited> {
  const context = await browser.newContext(options);
  const wrong: string[] = [];
  context.on("request", (request) => {
    const to = new URL(request.url());
    if (/^(http|ws)s?:$/.test(to.protocol) && to.origin !== url.origin) wrong.push(`requested ${to}`);
  });
  context.on("console", (message) => {
    if (message.type() === "error") wrong.push(`console: ${message.text()}`);
  });
  context.on("weberror", (event) => wrong.push(`thrown: ${event.error()}`));
  await context.route(
    (to) => to.origin !== url.origin && to.protocol !== "blob:",
    (route) => route.abort(),
  );
  await context.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => {
      console.error(`policy: ${event.violatedDirective} forbids ${event.blockedURI} in ${event.sourceFile}`);
    });
  });
  const page = await context.newPage();
  page.setDefaultTimeout(200_000); // only to end what hangs
  await page.goto(url.href);
  return { page, wrong: () => wrong.splice(0), close: () => context.close() };
}

/**
 * Opens a page for `use` and closes it. Fails if the page sends a request to another origin, reports an error or violates its
 * policy.
 * @param options.expected errors that the test causes itself
 */
export async function visit(
  launched: Launched,
  url: URL,
  { expected, ...options }: BrowserContextOptions & { readonly expected?: RegExp },
  use: (page: Page) => Promise<void>,
): Promise<void> {
  const { page, wrong, close } = await openPage(launched, url, options);
  const unexpected = (): string[] => wrong().filter((each) => !expected?.test(each));
  try {
    await use(page);
  } catch (error) {
    const found = unexpected();
    throw found.length === 0 ? error : new Error(found.join("\n"), { cause: error });
  } finally {
    await close();
  }
  expect(unexpected()).toEqual([]);
}

/** Takes screenshots of a page into the folder that the variable `SCREENSHOTS` names, if it is set. */
export async function screenshot(page: Page, name: string): Promise<void> {
  const folder = process.env.SCREENSHOTS;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
  await page.waitForTimeout(4_000); // pictures out of view are drawn when the page is idle
  await page.screenshot({ path: join(folder, `${name}-full.png`), fullPage: true });
}

/** Returns by how many pixels a page is wider than its window. */
export const overflow = (page: Page): Promise<number> =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
