import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { prose } from "../bench/needle/testing/text.ts";
import { type Ended, refusal, resonant } from "./cli.ts";
import { writeModel } from "./models.ts";

/** Runs `resonant eval needle` to its end. */
const needle = (args: readonly string[]): Promise<Ended> => resonant(["eval", "needle", ...args]);

let folder: string;
let tiny: string;
const at = (name: string): string => join(folder, name);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "resonant-cli-needle-"));
  tiny = at("tiny");
  await writeModel(tiny);
  await writeFile(at("text.txt"), prose(1, 4000));
});
afterAll(() => rm(folder, { recursive: true }));

describe("resonant eval needle", () => {
  it("finds every clean needle in each mode, and reports it with its rivals as JSON and as a plot", async () => {
    const sizes = ["--lengths", "200,300", "--needle", "16,24b", "--trials", "3"];
    const args = ["-m", tiny, "--text", at("text.txt"), ...sizes, "--plot", at("plot.svg"), "--json"];
    const { code, out, err } = await needle(args);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const { groups, ...about } = JSON.parse(out);
    const text = expect.any(String);
    expect(about).toEqual({ adapter: text, model: tiny, format: "f32", date: text, seed: 1 });
    expect(groups).toHaveLength(2 * 2 * 2 * 6);
    expect(new Set(groups.map(({ searcher }: { searcher: string }) => searcher))).toEqual(
      new Set(["pvm", "plm", "hybrid", "exact", "bm25", "edit"]),
    );
    for (const { searcher, rows, ms, working_bytes } of groups) {
      expect(ms > 0 && working_bytes >= 0).toBe(true);
      if (searcher !== "bm25") expect(rows[0]).toMatchObject({ condition: "none", trials: 3, hit_1: 1 });
    }
    expect(await readFile(at("plot.svg"), "utf8")).toMatch(/^<svg .*<\/svg>\n$/s);
  });

  it("prints only the table of the reference's protocol, with the requested columns", async () => {
    const { code, out, err } = await needle([
      ...["-m", tiny, "--reference", "--trials", "2", "--modes", "pvm", "--damage", "none", "--no-rivals"],
    ]);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const [heading, names, row, ...more] = out.slice(out.indexOf("\n\n") + 2).split("\n");
    expect(heading).toBe("512 random tokens, needles of 16 tokens, 2 trials (the reference's protocol)");
    expect(names?.trim().split(/ {2,}/)).toEqual([
      "clean",
      "similarity",
      "off by",
      "AUC",
      "ms",
      "index ms",
      "memory",
    ]);
    expect(row).toMatch(/^pvm +100 100 +1\.000 +0 \(0\) +1\.000 /);
    expect(more).toEqual([""]);
  });

  it.each<[string, readonly string[], RegExp]>([
    ["a length of nothing", ["--lengths", "512,0"], /--lengths/],
    ["a mode there is not", ["--modes", "pvm,all"], /--modes.*pvm, plm, hybrid/],
    ["a damage there is not", ["--damage", "burnt"], /--damage/],
    ["a needle of neither tokens nor bytes", ["--needle", "16k"], /--needle.*16.*48b/],
    ["no trials", ["--trials", "0"], /--trials/],
    ["a text that is not there", ["--text", "/nowhere.txt"], /--text \/nowhere\.txt/],
    ["a plot that cannot be written", ["--plot", "/nowhere/plot.svg"], /--plot \/nowhere\/plot\.svg/],
  ])("refuses %s with status 2, in a line", async (_, args, message) => {
    const { code, out, err } = await refusal(["eval", "needle", ...args]);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toMatch(message);
    expect(err.trim().split("\n")).toHaveLength(1);
  });

  it("writes no plot if the command is refused", async () => {
    const { code } = await refusal(["eval", "needle", "--text", "/nowhere.txt", "--plot", at("none.svg")]);
    expect(code).toBe(2);
    expect(await readdir(folder)).not.toContain("none.svg");
  });
});
