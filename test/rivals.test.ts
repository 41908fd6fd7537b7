import { copyFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Ended, run } from "./cli.ts";
import { fixturePath } from "./models.ts";

const script = fileURLToPath(new URL("../bench/rivals/run.mjs", import.meta.url));

interface Row {
  readonly engine: string;
  readonly where: string;
  readonly error?: string;
  readonly runs?: readonly { readonly tokens: readonly number[] }[];
  readonly figures?: Readonly<Record<"promptTokensPerSecond" | "decodeTokensPerSecond", { median: number }>>;
}

interface Report {
  readonly rows: readonly Row[];
  readonly ratios: readonly unknown[];
}

let home: string;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "resonant-rivals-test-"));
  for (const name of ["config.json", "model.safetensors"]) {
    await copyFile(fixturePath(`base-models/neox-f16/${name}`), join(home, name));
  }
  for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
    await copyFile(fixturePath(`tokenizers/bytes/${name}`), join(home, name));
  }
});

afterAll(() => rm(home, { recursive: true }));

/** Measures a tiny model without Chromium, the rivals' packages and Python. */
const measure = (...flags: string[]): Promise<Ended> => {
  const nowhere = join(home, "nowhere");
  const sizes = ["--prompt", "8", "--tokens", "4", "--rounds", "2", "--formats", "f32"];
  const missing = ["--packages", nowhere, "--chromium", nowhere, "--python", nowhere];
  const out = ["--out", join(home, "out.json")];
  return run(process.execPath, [script, "--model", home, ...sizes, ...missing, ...out, ...flags]);
};

describe("the rivals' benchmark", () => {
  it("measures Resonant, and gives the reason for each rival that is missing", async () => {
    const { code, out, err } = await measure("--json");
    expect(code, err).toBe(0);
    const report: Report = JSON.parse(out);
    expect(JSON.parse(await readFile(join(home, "out.json"), "utf8"))).toEqual(report);
    const reasons = report.rows.map(({ engine, where, error }) => [`${engine} in ${where}`, error]);
    expect(reasons).toEqual([
      ["Resonant in Chromium", expect.stringMatching(/^Chromium: .*nowhere/)],
      ["transformers.js in Chromium", expect.stringMatching(/is not installed: npm install --prefix/)],
      ["Resonant in Node", undefined],
      ["transformers.js in Node", expect.stringMatching(/is not installed: npm install --prefix/)],
      ["doppler-gpu in Node", expect.stringMatching(/is not installed: npm install --prefix/)],
      ["PyTorch eager in CPU", expect.stringMatching(/there is no .*nowhere: name a Python/)],
      ["PyTorch eager in CUDA", expect.stringMatching(/there is no .*nowhere: name a Python/)],
      ["PyTorch compiled in CUDA", expect.stringMatching(/there is no .*nowhere: name a Python/)],
    ]);
    const { runs, figures } = report.rows[2]!;
    expect(runs).toHaveLength(2);
    expect(runs?.[0]?.tokens).toHaveLength(4);
    expect(runs?.[1]?.tokens).toEqual(runs?.[0]?.tokens);
    expect(figures?.promptTokensPerSecond.median).toBeGreaterThan(0);
    expect(figures?.decodeTokensPerSecond.median).toBeGreaterThan(0);
    expect(report.ratios).toEqual([]);
  }, 120_000);

  it("shows the same as a table", async () => {
    const { code, out } = await measure("--engines", "Resonant,doppler");
    expect(code).toBe(0);
    expect(out).toMatch(
      /^\| Resonant in Node \| f32 \| [^|]+ \| \S+ \([^|]+\) \| \S+ \([^|]+\) \| \d+ \| 4\/4 \|$/m,
    );
    expect(out).toMatch(/^\| doppler-gpu in Node \| f32 \| did not run: doppler-gpu is not installed/m);
    expect(out).not.toContain("PyTorch");
  }, 120_000);

  it.each([
    [["--formats", "f64"], /--formats.*f64 is not one of f32, f16, q4/],
    [["--tokens", "1"], /--tokens.*It must be a whole number of at least 2/],
  ])("refuses %j", async (flags, message) => {
    const { code, err } = await measure(...flags);
    expect(code).toBe(2);
    expect(err).toMatch(message);
  });
});
