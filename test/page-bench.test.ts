import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fetchChromium } from "./chromium.ts";
import { run } from "./cli.ts";

const script = fileURLToPath(new URL("../bench/page.mjs", import.meta.url));

let home: string;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "resonant-page-bench-"));
});

afterAll(() => rm(home, { recursive: true, maxRetries: 3 }));

describe("the page's benchmark", () => {
  it.runIf(process.platform === "linux" && process.arch === "x64")(
    "prints the page's size, and its speed compared with Node",
    async () => {
      const chromium = join(home, "chromium");
      await mkdir(chromium);
      const { executablePath, env } = await fetchChromium(chromium, {}, true);
      const out = join(home, "page.json");
      const flags = ["--chromium", executablePath, "--chromium-arg=--use-webgpu-adapter=swiftshader"];
      const sizes = ["--tokens", "16", "--rounds", "1", "--out", out];
      const ended = await run(process.execPath, [script, ...flags, ...sizes], { env });
      expect(ended.code, ended.err).toBe(0);
      expect(ended.out).toMatch(/^page without model +\d+ kB compressed/m);
      expect(ended.out).toMatch(/^model +12,\d{3} kB$/m);
      expect(ended.out).toMatch(/^\| page, oscillators in view \| \S+ \([^|]+\) \| \d+\.\d\d × \|$/m);
      const { bytes, rows } = JSON.parse(await readFile(out, "utf8"));
      expect(bytes.page).toBeLessThan(160_000);
      expect(rows.map(({ name }: { name: string }) => name)).toEqual([
        "library in Node",
        "library in Chromium",
        "page, oscillators in view",
        "page, oscillators out of view",
      ]);
      for (const { tokensPerSecond } of rows) expect(tokensPerSecond.median).toBeGreaterThan(0);
    },
    900_000,
  );

  it("reports a missing Chromium", async () => {
    const { code, err } = await run(process.execPath, [script, "--chromium", join(home, "nowhere")]);
    expect(code).toBe(1);
    expect(err).toContain("nowhere");
  });
});
