import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "./cli.ts";

const script = fileURLToPath(new URL("../bench/gpu.mjs", import.meta.url));

let home: string;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "resonant-gpu-bench-"));
});

afterAll(() => rm(home, { recursive: true }));

const row = (name: string, value: number, more = {}) => ({ name, value, ...more });

/** A report as `resonant bench --save` writes it. */
const RUN = {
  adapter: "Some GPU (a driver)",
  date: "2026-11-27T12:00:00.000Z",
  rows: [
    row("copy of 64 MiB, read and written", 2000),
    // This row comes first, to test that the shorter name does not match it.
    row("a token at position 1,000,000", 0.51),
    row("a token at position 1,000", 0.5),
    row("large f16: decode of 128", 500, { bytesPerSecond: 1.1e12 }),
    row("small f32: prompt of 512", 9000),
    row("small f32: prompt of 32", 1000),
    row("small f32: decode of 128", 800),
    row("small f16: decode of 128", 900),
  ],
};

const table = async (rows: unknown, ...flags: string[]) => {
  const from = join(home, "bench.json");
  await writeFile(from, JSON.stringify({ ...RUN, rows }));
  const named = ["--large", "large", "--small", "small", "--python", join(home, "nowhere")];
  const out = ["--out", join(home, "out.json")];
  return run(process.execPath, [script, "--from", from, ...named, ...out, ...flags]);
};

describe("the GPU's table", () => {
  it("gives the bandwidth of decoding as a share of a copy's, and a token's cost at both positions", async () => {
    const { code, out, err } = await table(RUN.rows);
    expect(code, err).toBe(0);
    expect(out).toContain("large f16: 500 tokens/s read 1100 GB/s, 55.0 % of the 2000 GB/s of a copy");
    expect(out).toContain("| small, one stream, 128 tokens after 512 |");
    expect(out).toContain("| Resonant | Some GPU (a driver) | f16 | 900 | |");
    expect(out).toMatch(/^\| PyTorch \| did not run: .*nowhere.* \|$/m);
    expect(out).toContain("native, a token at position 1,000: 0.500 ms; at 1,000,000: 0.510 ms, 1.02 ×");
    const kept = JSON.parse(await readFile(join(home, "out.json"), "utf8"));
    expect(kept).toMatchObject({ date: "2026-11-27", positions: { 1000: 0.5, 1000000: 0.51 } });
  });

  it("names the row that a report lacks", async () => {
    const { code, err } = await table(RUN.rows.slice(1));
    expect(code).toBe(1);
    expect(err).toContain('bench.json: there is no row "copy of');
  });
});
