import { existsSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { serve } from "@hono/node-server";
import { serveStatic } from "@hono/node-server/serve-static";
import { build } from "esbuild";
import { Hono } from "hono";
import { chromium } from "playwright-core";

/**
 * WebGPU on what Vulkan finds. Without a GPU Chromium takes its own SwiftShader, and no other software driver: one must
 * be able to share images with it. The last switch lets pages see an adapter's name.
 */
const WEBGPU = [
  "--enable-unsafe-webgpu",
  "--enable-features=Vulkan",
  "--use-vulkan=native",
  "--use-angle=vulkan",
  "--disable-vulkan-surface",
  "--ignore-gpu-blocklist",
  "--enable-webgpu-developer-features",
];

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];

/** Puts the browser's library into a folder, as the one file resonant.js. */
export async function bundleLibrary(folder) {
  await build({
    entryPoints: [fileURLToPath(new URL("../../dist/browser.js", import.meta.url))],
    bundle: true,
    format: "esm",
    outfile: join(folder, "resonant.js"),
    logLevel: "warning",
  });
}

/** The first Chromium or Chrome on the path. */
export function findChromium() {
  const folders = (process.env.PATH ?? "").split(delimiter);
  return NAMES.flatMap((name) => folders.map((folder) => join(folder, name))).find(existsSync);
}

/** Where Chromium may have its SwiftShader as a Vulkan driver, for Node to use the same. */
export function swiftShaderOf(executable) {
  const folders = [
    dirname(executable),
    "/usr/lib/chromium",
    "/usr/lib/chromium-browser",
    "/opt/google/chrome",
  ];
  return folders.map((folder) => join(folder, "vk_swiftshader_icd.json")).find(existsSync);
}

/**
 * A headless Chromium whose pages get folders from this machine alone.
 * @param folders by the first part of their URLs' paths
 * @param args more switches
 * @throws where there is no Chromium, or it does not start
 */
export async function openChromium(executable, folders, args = []) {
  if (!executable) throw new Error("there is no Chromium on the path: name one with --chromium");
  const app = new Hono();
  app.use(async (context, next) => {
    await next();
    // Threads of WebAssembly need both.
    context.header("Cross-Origin-Opener-Policy", "same-origin");
    context.header("Cross-Origin-Embedder-Policy", "require-corp");
  });
  app.get("/", (context) => context.html("<!doctype html><title>rivals</title>"));
  for (const [name, root] of Object.entries(folders)) {
    const rewriteRequestPath = (path) => path.slice(name.length + 1);
    app.use(`/${name}/*`, serveStatic({ root, rewriteRequestPath }));
  }
  const server = await new Promise((resolve) => {
    const listening = serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 }, () => resolve(listening));
  });
  const origin = `http://127.0.0.1:${server.address().port}`;
  const stop = () => new Promise((resolve) => server.close(resolve));
  let browser;
  try {
    browser = await chromium.launch({
      executablePath: executable,
      args: [
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        ...WEBGPU,
        ...args,
      ],
      ignoreDefaultArgs: ["--enable-unsafe-swiftshader"],
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    origin,
    version: browser.version(),
    softwareDriver: await onSwiftShader(browser, origin),
    newPage: (options) => browser.newPage(options),
    /** An engine in a page of its own. */
    async open(module, opening) {
      const page = await browser.newPage();
      page.setDefaultTimeout(0);
      try {
        await page.goto(`${origin}/`);
        const { version, adapter } = await page.evaluate(
          async ([module, opening]) => {
            const { open } = await import(module);
            globalThis.engine = await open(opening);
            return { version: globalThis.engine.version, adapter: globalThis.engine.adapter };
          },
          [module, opening],
        );
        return {
          version,
          adapter,
          run: (prompt, tokens) =>
            page.evaluate(([prompt, tokens]) => globalThis.engine.run(prompt, tokens), [prompt, tokens]),
          close: () => page.close(),
        };
      } catch (error) {
        await page.close();
        throw error;
      }
    },
    async close() {
      await browser.close();
      await stop();
    },
  };
}

/** Whether pages get the software driver that Chromium brings. While its GPU process starts, it may have no adapter yet. */
async function onSwiftShader(browser, origin) {
  const page = await browser.newPage();
  await page.goto(`${origin}/`);
  const architecture = await page.evaluate(async () => {
    for (let tries = 0; tries < 10; tries++) {
      const adapter = await globalThis.navigator.gpu?.requestAdapter();
      if (adapter) return adapter.info.architecture;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  });
  await page.close();
  return architecture === "swiftshader";
}
