import type { Page, ViewportSize } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { docsRoutes } from "../api/docs.ts";
import { type Launched, launchChromium } from "./chromium.ts";
import { NOWHERE, overflow, SCREENS, screenshot, visit as visitPage } from "./pages.ts";
import { startServer, type TestServer } from "./server.ts";

let server: TestServer;
let origin: string;
let PATHS: readonly string[];
let OPERATIONS: readonly string[];
let chromium: Launched;

beforeAll(async () => {
  server = await startServer(undefined);
  origin = server.url;
  const document = (await (await fetch(`${origin}/openapi.json`)).json()) as {
    paths: Record<string, Record<string, { operationId: string }>>;
  };
  PATHS = Object.keys(document.paths);
  OPERATIONS = Object.values(document.paths).flatMap((methods) =>
    Object.values(methods).map(({ operationId }) => operationId),
  );
  chromium = await launchChromium({ args: [NOWHERE] });
}, 600_000);

afterAll(async () => {
  await chromium?.close();
  await server?.stop();
});

const visit = (path: string, viewport: ViewportSize, use: (page: Page) => Promise<void>) =>
  visitPage(chromium, new URL(path, origin), { viewport }, use);

describe.each(SCREENS)("on a %s", (screen, viewport) => {
  it("Swagger UI shows every operation, tries one out, and asks no other host", () =>
    visit("/docs", viewport, async (page) => {
      const paths = page.locator(".opblock-summary [data-path]");
      await paths.nth(OPERATIONS.length - 1).waitFor();
      expect(await page.title()).toBe("Resonant API");
      expect(await paths.count()).toBe(OPERATIONS.length);
      const shown = await paths.evaluateAll((all) => all.map((element) => element.getAttribute("data-path")));
      expect(new Set(shown)).toEqual(new Set(PATHS));
      expect(await overflow(page)).toBe(0);
      await screenshot(page, `docs-${screen}`);

      await page.locator('[data-path="/v1/generate"]').click();
      await page.locator("#operations-Generation-generate .opblock-section-request-body").waitFor();
      expect(await overflow(page)).toBe(0);
      await screenshot(page, `docs-${screen}-generate`);
      await page.locator('[data-path="/v1/generate"]').click();

      await page.locator('[data-path="/livez"]').click();
      await page.getByRole("button", { name: "Try it out" }).click();
      await page.getByRole("button", { name: "Execute" }).click();
      const answer = page.locator(".live-responses-table");
      await answer.waitFor();
      expect(await answer.textContent()).toMatch(/200.*"status": "alive"/s);
      expect(await overflow(page)).toBe(0);
      await answer.scrollIntoViewIfNeeded();
      await screenshot(page, `docs-${screen}-tried`);
    }));

  it("ReDoc shows every operation, and asks no other host", () =>
    visit("/redoc", viewport, async (page) => {
      for (const id of OPERATIONS) {
        const section = page.locator(`[data-section-id$="/operation/${id}"]`);
        await section.waitFor({ state: "attached" });
      }
      const text = await page.locator("#page").textContent();
      for (const path of PATHS) expect(text).toContain(path);
      // The footer's logo would come from another host.
      expect(await page.locator("img").count()).toBe(0);
      expect(await overflow(page)).toBe(0);
      await screenshot(page, `redoc-${screen}`);
    }));
});

it("ReDoc finds an operation with its search worker", () =>
  visit("/redoc", { width: 1280, height: 900 }, async (page) => {
    await page.getByPlaceholder("Search").fill("resonance");
    const results = page.locator('[data-role="search:results"]');
    await results.waitFor();
    expect(await results.textContent()).toContain("needle");
    await screenshot(page, "redoc-search");
  }));

describe("the documentation's routes", () => {
  const routes = docsRoutes({ openApiUrl: '/open"api.json' });

  it("forbid resources of other hosts and inline scripts", async () => {
    for (const path of ["/docs", "/redoc"]) {
      const response = await routes.request(path);
      expect(response.headers.get("content-security-policy")).toMatch(
        /default-src 'self'.*script-src 'self';/,
      );
      const html = await response.text();
      expect(html).not.toMatch(/https?:|<script>/);
      expect(html).toContain('data-openapi="/open&#34;api.json"');
    }
  });

  it("serve each asset with its type, and answer 304 to a client that has it", async () => {
    const page =
      (await (await routes.request("/docs")).text()) + (await (await routes.request("/redoc")).text());
    const assets = new Set(Array.from(page.matchAll(/"(docs\/assets\/[^"]+)"/g), ([, path]) => `/${path}`));
    expect(assets.size).toBe(7);
    for (const path of assets) {
      const response = await routes.request(path);
      expect([path, response.status]).toEqual([path, 200]);
      expect(response.headers.get("content-type")).toMatch(
        /^(text\/(javascript|css); charset=utf-8|image\/svg\+xml)$/,
      );
      const etag = response.headers.get("etag") ?? "";
      const again = await routes.request(path, { headers: { "If-None-Match": etag } });
      expect([again.status, await again.text()]).toEqual([304, ""]);
    }
  });

  it.each([
    "/docs/assets/LICENSES.txt",
    "/docs/assets/..%2F..%2Fcli.js",
    "/docs/assets/",
    "/docs/assets/constructor",
  ])("do not serve %s", async (path) => {
    expect((await routes.request(path)).status).toBe(404);
  });
});
