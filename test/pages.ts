import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { BrowserContextOptions, Page } from "playwright-core";
import { expect } from "vitest";
import type { Launched } from "./chromium.ts";

/** Chromium's switch with which names resolve nowhere, so that not even its own requests leave. */
export const NOWHERE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1";

/** The screens that pages are looked at on. */
export const SCREENS = [
  ["desktop", { width: 1280, height: 900 }],
  ["phone", { width: 390, height: 844 }],
] as const;

/**
 * Opens a page of `origin` for `use`, and fails if anything goes wrong in it: a request to elsewhere, an error, a broken
 * policy.
 * @param options.expected what may be told as an error, since the test brings it about
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
  page.setDefaultTimeout(30_000);
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

/** Takes pictures of a page, for people, into the folder that `SCREENSHOTS` names, if it does. */
export async function screenshot(page: Page, name: string): Promise<void> {
  const folder = process.env.SCREENSHOTS;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
  await page.waitForTimeout(4_000); // pictures out of view are drawn when all rest
  await page.screenshot({ path: join(folder, `${name}-full.png`), fullPage: true });
}

/** Pixels by which a page is wider than its window. */
export const overflow = (page: Page): Promise<number> =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
