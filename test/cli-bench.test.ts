import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { refusal, resonant } from "./cli.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "resonant-bench-cli-"));
});
afterAll(() => rm(folder, { recursive: true }));

it("measures chosen cases, saves them as JSON and as a plot, and compares with them", async () => {
  const measured = await resonant(["bench", "--quick", "layer-norm", "--save", folder, "--plot"]);
  expect(measured).toMatchObject({ code: 0 });
  expect(measured.out).toMatch(/\nceilings\n.*\ncopy of .* GB\/s/s);
  expect(measured.out).toMatch(/\nkernels\n.*layer-norm, 768, 1 row .*% +\w+\n/s);
  const [json, svg, ...others] = (await readdir(folder)).sort((a, b) => a.length - b.length);
  expect(others).toEqual([]);
  expect(json).toMatch(/^\d{4}-\d\d-\d\d-.*-quick\.json$/);
  expect(svg).toMatch(/-quick-kernels\.svg$/);
  const path = join(folder, json!);
  const report = JSON.parse(await readFile(path, "utf8"));
  expect(report).toMatchObject({ quick: true, failures: [] });
  const again = await resonant(["bench", "--from", path, "--compare", path]);
  expect(again.code).toBe(0);
  expect(again.out).toMatch(/compared with/);
  expect(again.out).toMatch(/layer-norm, 768, 1 row +[\d.,]+ +[\d.,]+ +µs +1\.00 ×/);
});

it("names the file and field that cannot be compared, and measures nothing", async () => {
  const path = join(folder, "broken.json");
  await writeFile(path, JSON.stringify({ adapter: "x", date: new Date().toISOString(), node: 20 }));
  const refused = await refusal(["bench", "--compare", path]);
  expect(refused).toMatchObject({ code: 1, out: "" });
  expect(refused.err).toContain("broken.json: node");
  const missing = await refusal(["bench", "--compare", join(folder, "missing.json")]);
  expect(missing).toMatchObject({ code: 2, out: "" });
  expect(missing.err).toContain("missing.json");
});

it("lists its cases, and refuses a name that matches none", async () => {
  const listed = await resonant(["bench", "--list"]);
  expect(listed.out).toContain("kernels: memory-scan\n");
  expect(listed.out).toContain("models: tinyllama-1.1b f16\n");
  const refused = await refusal(["bench", "no-such-case"]);
  expect(refused).toMatchObject({ code: 2, out: "" });
  expect(refused.err).toContain("--list");
});
