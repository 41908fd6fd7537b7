import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium } from "playwright-core";
import { Progress } from "../api/terminal.ts";
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

/**
 * Launches the headless Chromium of the software stack with its own libraries and fonts, fetching it (once, 70 MB) if
 * need be; off Linux x64, where there is none, the installed Chrome. It writes only to a temporary folder.
 * @param options.args more switches for Chromium
 * @param options.env more of its environment
 */
export async function launchChromium(
  options: { args?: readonly string[]; env?: Record<string, string> } = {},
): Promise<Launched> {
  const home = await mkdtemp(join(tmpdir(), "resonant-chromium-"));
  const clean = () => rm(home, { recursive: true, force: true, maxRetries: 3 });
  try {
    const args = [...ARGS, ...(options.args ?? [])];
    const browser =
      process.platform === "linux" && process.arch === "x64"
        ? await chromium.launch({ args, ...(await fetched(home, options.env)) })
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

/** The executable, and an environment in which it finds what a bare system lacks and reads nothing of the user's. */
async function fetched(home: string, more: Record<string, string> = {}) {
  const progress = new Progress("fetching a headless Chromium", "bytes", true);
  const folders = await fetchSoftwareStack({
    members: ["chromium.br", "al2023.tar.br", "fonts.tar.br"],
    onProgress: (bytes, total) => progress.update(bytes, total),
  }).finally(() => progress.stop());
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
