import { existsSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { serve } from "@hono/node-server";
import { serveStatic } from "@hono/node-server/serve-static";
import { build } from "esbuild";
import { Hono } from "hono";
import { chromium } from "playwright-core";

/**
 * Switches for WebGPU on the devices that Vulkan finds. Without a GPU Chromium uses its own SwiftShader and no other software
 * driver, because the driver must be able to share images with it. The last switch shows adapter names to pages.
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

/** Bundles the browser's library into one file, resonant.js, in a folder. */
export async function bundleLibrary(folder) {
  await build({
    entryPoints: [fileURLToPath(new URL("../../dist/browser.js", import.meta.url))],
    bundle: true,
    format: "esm",
    outfile: join(folder, "resonant.js"),
    logLevel: "warning",
  });
}

/** Returns the path of the first Chromium or Chrome on PATH; undefined if there is none. */
export function findChromium() {
  const folders = (process.env.PATH ?? "").split(delimiter);
  return NAMES.flatMap((name) => folders.map((folder) => join(folder, name))).find(existsSync);
}

/** Returns the Vulkan driver file of Chromium's SwiftShader, so that Node can use the same driver; undefined if not found. */
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
 * Starts a headless Chromium whose pages can load only folders of this machine.
 * @param folders the folders, by the first segment of their URLs' paths
 * @param args additional switches
 * @throws Error if there is no Chromium, or it does not start
 */
export async function openChromium(executable, folders, args = []) {
  if (!executable) throw new Error("there is no Chromium on the path: name one with --chromium");
  const app = new Hono();
  app.use(async (context, next) => {
    await next();
    // WebAssembly threads need both headers.
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
    /** Opens an engine in a new page. */
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

/** Returns whether pages use Chromium's own software driver. Retries, because a starting GPU process may have no adapter yet. */
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
