import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { type Browser, chromium } from "playwright-core";
import { Progress } from "../cli/terminal.ts";
import { fetchSoftwareStack } from "../engine/platform/node/software-stack.ts";

export interface Launched {
  browser: Browser;
  /** Ends the browser and removes the temporary folder it lived in. */
  close(): Promise<void>;
}

/** The sandbox needs rights that containers withhold; the rest keeps Chromium from calling its maker. */
const ARGS = [
  "--no-sandbox",
  "--disable-dev-shm-usage",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
];

/** WebGPU on the SwiftShader beside the executable; the last lets pages see the adapter's name. */
const WEBGPU = [
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--ignore-gpu-blocklist",
  "--enable-webgpu-developer-features",
];

/**
 * Launches the headless Chromium of the software stack with its own libraries and fonts, fetching it (once, 70 MB) if
 * need be; off Linux x64, where there is none, the installed Chrome. It writes only to a temporary folder.
 * @param options.args more switches for Chromium
 * @param options.env more of its environment
 * @param options.webgpu whether pages have WebGPU, on the software adapter; default false
 */
export async function launchChromium(
  options: { args?: readonly string[]; env?: Record<string, string>; webgpu?: boolean } = {},
): Promise<Launched> {
  const { env, webgpu = false } = options;
  const home = await mkdtemp(join(tmpdir(), "resonant-chromium-"));
  const clean = () => rm(home, { recursive: true, force: true, maxRetries: 3 });
  try {
    const args = [...ARGS, ...(webgpu ? WEBGPU : []), ...(options.args ?? [])];
    const browser =
      process.platform === "linux" && process.arch === "x64"
        ? await chromium.launch({ args, ...(await fetchChromium(home, env, webgpu)) })
        : await chromium.launch({ args, channel: "chrome" });
    return {
      browser,
      async close() {
        await browser.close();
        await clean();
      },
    };
  } catch (error) {
    await clean();
    throw error;
  }
}

/**
 * The executable of the software stack on Linux x64, fetched if need be, and an environment in which it finds what a bare
 * system lacks and reads nothing of the user's.
 * @param home a folder to write to
 * @param more what else is to be in the environment
 * @param webgpu whether it shall find the software adapter
 */
export async function fetchChromium(home: string, more: Record<string, string> = {}, webgpu = false) {
  const progress = new Progress("fetching a headless Chromium", "bytes", true);
  const folders = await fetchSoftwareStack({
    members: ["chromium.br", "swiftshader.tar.br", "al2023.tar.br", "fonts.tar.br"],
    onProgress: (bytes, total) => progress.update(bytes, total),
  }).finally(() => progress.stop());
  if (webgpu) await link(folders["swiftshader.tar.br"], folders["chromium.br"]);
  const fonts = join(home, "fonts.conf");
  await mkdir(join(home, "tmp"));
  await writeFile(
    fonts,
    `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig><dir>/usr/share/fonts</dir><dir>${folders["fonts.tar.br"]}/fonts</dir><cachedir>${home}/fonts</cachedir></fontconfig>`,
  );
  const env = {
    PATH: process.env.PATH ?? "",
    HOME: home,
    TMPDIR: join(home, "tmp"),
    LD_LIBRARY_PATH: join(folders["al2023.tar.br"], "lib"),
    FONTCONFIG_FILE: fonts,
    ...more,
  };
  return { executablePath: join(folders["chromium.br"], "chromium"), env };
}

/** Chromium looks for its drivers where it lies itself. */
async function link(from: string, to: string): Promise<void> {
  for (const file of await readdir(from)) {
    await symlink(join("..", basename(from), file), join(to, file)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
  }
}
