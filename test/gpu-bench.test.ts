import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "./cli.ts";
import { testGpu } from "./gpu.ts";

const script = fileURLToPath(new URL("../bench/gpu.mjs", import.meta.url));

const isHardware = (await testGpu()).kind !== "software";

let home: string;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "resonant-gpu-bench-"));
});

afterAll(() => rm(home, { recursive: true }));

const gpu = (...flags: string[]) => run(process.execPath, [script, ...flags]);

/** Measures a software adapter; returns the lines of `--out`. */
async function measured(...flags: string[]) {
  const out = join(home, "out.jsonl");
  const tiny = ["--software", "--quick", "--large", "tiny-llama", "--small", "tiny-neox"];
  const {
    code,
    err,
    out: printed,
  } = await gpu(...tiny, "--python", join(home, "nowhere"), "--out", out, ...flags);
  expect(code, err).toBe(0);
  const lines = (await readFile(out, "utf8")).trim().split("\n");
  return { lines: lines.map((line) => JSON.parse(line)), printed };
}

describe("bench/gpu.mjs", () => {
  it("keeps the rows of each case, and the reason where there are none", async () => {
    const cases = ["first dispatches", "tiny-llama out q4", "row against tile", "tiny-neox f16", "PyTorch"];
    const { lines, printed } = await measured("--cases", ...cases);
    expect(lines[0].plan).toHaveLength(cases.length);
    const valuesOf = (name: string) => lines.filter((line) => line.case === name && line.value !== undefined);
    expect(valuesOf("gpu: first dispatches")).toHaveLength(3);
    expect(valuesOf("gpu: product tiny-llama out q4")).toHaveLength(4);
    expect(valuesOf("gpu: row against tile bits").every(({ value }) => value === 0)).toBe(true);
    expect(valuesOf("models: tiny-neox f16").some(({ name }) => name.endsWith(", sampled"))).toBe(true);
    expect(lines.at(-1)).toMatchObject({
      case: "rivals: PyTorch",
      error: expect.stringContaining("nowhere"),
    });
    expect(printed).toContain("- row against tiles: the same bits");
    expect(printed).toMatch(/^rivals: PyTorch: failed: /m);
  });

  it.skipIf(isHardware)("refuses a software adapter, and leaves no file", async () => {
    const out = join(home, "refused.jsonl");
    const { code, err } = await gpu("--out", out, "--cases", "first dispatches");
    expect(code).toBe(1);
    expect(err).toMatch(/hardware adapter.*--software/);
    expect(err).not.toContain("--device");
    await expect(stat(out)).rejects.toThrow("ENOENT");
  });

  it("lists what does not fit into the time", async () => {
    const { lines, printed } = await measured("--minutes", "0.001", "--cases", "ceilings", "PyTorch");
    const missing = lines.filter(({ notRun }) => notRun !== undefined).map((line) => line.case);
    expect(new Set(missing)).toEqual(new Set(lines[0].plan));
    expect(printed).toContain("ceilings: copy: not run, the 0.001 minutes were over");
  });

  it("prints the answers of an earlier run", async () => {
    const from = join(home, "earlier.jsonl");
    const row = (of: string, name: string, value: number, more = {}) => ({
      case: of,
      name,
      value,
      unit: "",
      ...more,
    });
    const lines = [
      { run: "gpu.mjs", large: "large", small: "small", plan: [] },
      { adapter: "Some GPU", kind: "nvidia", node: "v20", date: "2026-11-27T12:00:00.000Z" },
      row("ceilings: copy", "copy of 512 MiB, read and written", 2000),
      row("ceilings: read", "read of 512 MiB", 2200),
      row("models: large f16", "large f16: decode of 128", 500, { bytesPerSecond: 1.1e12 }),
      row("models: small f32", "small f32: decode of 128", 800),
      row("rivals: PyTorch", "PyTorch eager, Some GPU", 200, { format: "f32" }),
      // This row comes first, to test that the shorter name does not match it.
      row("native: decode and prompt", "a token at position 1,000,000", 0.51),
      row("native: decode and prompt", "a token at position 1,000", 0.5),
      row("gpu: row against tile bits", "values that differ, q4", 3),
    ];
    await writeFile(from, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    const { code, out, err } = await gpu("--from", from);
    expect(code, err).toBe(0);
    expect(out).toContain("large f16: 500 tokens/s read 1100 GB/s, 55.0 % of a copy, 50.0 % of reading");
    expect(out).toContain("small f32: 800 tokens/s are 4.00 × the 200 of PyTorch eager, Some GPU");
    expect(out).toContain("a token at position 1,000: 0.500 ms; at 1,000,000: 0.510 ms, 1.02 ×");
    expect(out).toContain("row against tiles: values that differ, q4");
  });
});
