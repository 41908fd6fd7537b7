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

/**
 * Opens a page of `origin` for `use`. Fails if the page sends a request to another origin, reports an error or violates its
 * policy.
 * @param options.expected errors that the test causes itself
 */
export async function visit(
  { browser }: Launched,
  url: URL,
  options: BrowserContextOptions & { readonly expected?: RegExp },
  use: (page: Page) => Promise<void>,
): Promise<void> {
  const { expected, ...contextOptions } = options;
  const context = await browser.newContext(contextOptions);
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
  const unexpected = (): string[] => wrong.filter((each) => !expected?.test(each));
  try {
    await page.goto(url.href);
    await use(page);
  } catch (error) {
    throw unexpected().length === 0 ? error : new Error(wrong.join("\n"), { cause: error });
  } finally {
    await context.close();
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
