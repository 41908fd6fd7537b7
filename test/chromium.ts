import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { type Browser, chromium } from "playwright-core";
import { Progress } from "../cli/terminal.ts";
import { fetchSoftwareStack } from "../engine/platform/node/software-stack.ts";

export interface Launched {
  browser: Browser;
  /** Closes the browser and removes its temporary folder. */
  close(): Promise<void>;
}

/** Containers lack the rights for the sandbox; the other switches stop Chromium's own network requests. */
const ARGS = [
  "--no-sandbox",
  "--disable-dev-shm-usage",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
];

/** WebGPU on the SwiftShader beside the executable; the last switch shows the adapter's name to pages. */
const WEBGPU = [
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--ignore-gpu-blocklist",
  "--enable-webgpu-developer-features",
];

/**
 * Launches the headless Chromium of the software stack with its own libraries and fonts; downloads it (70 MB) if needed. On
 * systems other than Linux x64 it launches the installed Chrome. The browser writes only to a temporary folder.
 * @param options.args additional switches for Chromium
 * @param options.env additional environment variables
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
 * Returns the software stack's executable on Linux x64, downloaded if needed, and an environment in which it finds the
 * libraries that a minimal system lacks and reads no files of the user.
 * @param home a folder to write to
 * @param more additional environment variables
 * @param webgpu whether it finds the software adapter
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

/** Chromium looks for its drivers in its own folder. */
async function link(from: string, to: string): Promise<void> {
  for (const file of await readdir(from)) {
    await symlink(join("..", basename(from), file), join(to, file)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
  }
}
