import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Model } from "../engine/model.ts";
import { openModelFolder } from "../engine/platform/node/files.ts";
import { type Ended, refusal, resonant } from "./cli.ts";
import { testGpu } from "./gpu.ts";
import { writeModel } from "./models.ts";
import { post, startServer } from "./server.ts";

/** Runs `resonant retrieve` to its end, with `input` on standard input. */
const retrieve = (
  args: readonly string[],
  input: Iterable<string | Uint8Array> = [],
  node: readonly string[] = [],
): Promise<Ended> => resonant(["retrieve", ...args], { input, node });

const NEEDLE = "the code is X7Z9";
const TEXT = `A first line, and\na second. Then: ${NEEDLE}\u001b[2J, naïve 🌊\nand a third line.\n`;

let folder: string;
let tiny: string;
const at = (name: string): string => join(folder, name);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "resonant-cli-retrieve-"));
  tiny = at("tiny");
  await writeModel(tiny);
  await writeFile(at("text"), TEXT);
});
afterAll(() => rm(folder, { recursive: true }));

describe("resonant retrieve", () => {
  it("answers as the API does, from a file, standard input and an argument alike", async () => {
    const files = await openModelFolder(tiny);
    const model = await Model.load(await testGpu(), files);
    const server = await startServer(model);
    const request = { context: TEXT, needle: NEEDLE, retrieval_mode: "hybrid", top_k: 3 };
    const { body } = await post(`${server.url}/v1/retrieve`, request);
    const wanted = { return_phase_metrics: true, return_memory_stats: true };
    const measured = (await post(`${server.url}/v1/retrieve`, { ...request, ...wanted })).body;
    await server.stop();
    await files.close();
    expect(body.matches[0]).toMatchObject({ text: NEEDLE, similarity: 1, confidence: 1 });

    const args = ["-m", tiny, NEEDLE, "--mode", "hybrid", "--top-k", "3", "--json"];
    const bytes = new TextEncoder().encode(TEXT);
    for (const ended of [
      await retrieve([...args, "--file", at("text")]),
      await retrieve(
        args,
        Array.from(bytes, (byte) => Uint8Array.of(byte)),
      ),
      await retrieve([...args, "--context", TEXT]),
    ]) {
      expect(ended).toMatchObject({ code: 0, err: "" });
      expect(JSON.parse(ended.out)).toEqual({ ...body, timing_ms: expect.any(Number) });
    }
    const phases = await retrieve([...args, "--phase-metrics"], [TEXT]);
    expect(JSON.parse(phases.out)).toEqual({
      ...body,
      timing_ms: expect.any(Number),
      phase_metrics: measured.phase_metrics,
    });
    const memories = await retrieve([...args, "--memory-stats", "--file", at("text")]);
    expect(JSON.parse(memories.out)).toEqual({
      ...body,
      timing_ms: expect.any(Number),
      // A file is read in chunks.
      memory_stats: { ...measured.memory_stats, total_memory_kb: expect.any(Number) },
    });
  });

  it("shows each match within its line, without control characters", async () => {
    const { code, out, err } = await retrieve(["-m", tiny, NEEDLE, "--top-k", "2"], [TEXT]);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const lines = out.split("\n");
    expect(lines[0]).toMatch(/^ +similarity +confidence +position +line$/);
    expect(lines[1]).toMatch(/^1 +1\.0000 +1\.000 +34 +2$/);
    expect(lines[2]).toBe(
      `   A first line, and⏎a second. Then: [${NEEDLE}]\ufffd[2J, naïve 🌊⏎and a third line.⏎`,
    );
    expect(lines[3]).toMatch(/^2 +0\.\d{4} +0\.\d{3} +\d+ +\d$/);
    expect(lines[5]).toMatch(/^\d+ tokens searched, \d+ a second, .+$/);
    expect(lines.slice(6)).toEqual([""]);
  });

  it("prints its metrics with the names of the API's fields", async () => {
    const args = ["-m", tiny, NEEDLE, "--top-k", "1", "--phase-metrics", "--memory-stats"];
    const { code, out, err } = await retrieve(args, [TEXT]);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const figures = out.split("\n").filter((line) => /^(pvm|plm|phase|curv|total)_/.test(line));
    expect(figures.map((line) => line.split(/ +/)[0])).toEqual([
      "phase_coherence",
      "plm_coherence",
      "curv_peak_at_needle",
      "curv_peak_before_needle",
      "curv_traj_len",
      "curv_peak_idx",
      "curv_peak_offset_from_retrieval",
      "curv_peak_at_needle_binary",
      "curv_pre_peak_fraction",
      "curv_entropy",
      "pvm_mem_norm",
      "pvm_gate_strength",
      "plm_coherence",
      "total_memory_kb",
    ]);
    for (const line of figures) expect(line).toMatch(/^\w+ +(none|-?\d+(\.\d+)?)$/);
  });

  it("searches for a query instead of the needle, and says if no match is likely", async () => {
    const args = ["-m", tiny, "no such words", "--context", TEXT, "--top-k", "1"];
    expect((await retrieve(args)).out).toMatch(
      /^probably no match: the best one has a confidence of 0\.\d+$/m,
    );
    const found = await retrieve([...args, "--query", NEEDLE]);
    expect(found.out).toContain(`[${NEEDLE}]`);
    expect(found.out).not.toContain("probably");
  });

  it("searches standard input of any length in the same memory", async () => {
    const filler = "words of no meaning at all, over and over, ".repeat(400);
    const megabytes = function* (count: number): Generator<string> {
      const chunks = Math.ceil((count * 1e6) / filler.length);
      for (let i = 0; i < chunks; i++) yield i === chunks - 2 ? `${filler}${NEEDLE} ` : filler;
    };
    // All its tokens together would not fit into the heap.
    const ended = await retrieve(["-m", tiny, NEEDLE, "--top-k", "1", "--json"], megabytes(2), [
      "--max-old-space-size=40",
      "--max-semi-space-size=4",
    ]);
    expect(ended).toMatchObject({ code: 0, err: "" });
    expect(JSON.parse(ended.out).matches).toMatchObject([{ text: NEEDLE, similarity: 1 }]);
  });

  it.each([
    ["no needle", [], "missing required argument 'needle'"],
    ["an empty needle", ["", "--context", "x"], "needle: it is empty"],
    ["an empty query", ["x", "--context", "x", "--query", ""], "--query: it is empty"],
    ["an empty context", ["x", "--context", ""], "--context: it is empty"],
    ["two contexts", ["x", "--context", "x", "--file", "x"], "cannot be used with"],
    ["no matches", ["x", "--context", "x", "--top-k", "0"], "from 1 to 100"],
    ["too many", ["x", "--context", "x", "--top-k", "101"], "from 1 to 100"],
    ["an unknown mode", ["x", "--context", "x", "--mode", "both"], "Allowed choices are pvm, plm, hybrid"],
  ])("refuses %s", async (_, args, message) => {
    const ended = await refusal(["retrieve", "-m", tiny, ...args]);
    expect(ended).toMatchObject({ code: 2, out: "" });
    expect(ended.err).toContain(`error: ${message.startsWith("missing") ? message : ""}`);
    expect(ended.err).toContain(message);
  });

  it.each([
    ["empty standard input", [], "context: is empty"],
    ["a file that is not there", ["--file", "/no/such"], "--file /no/such: it cannot be read (ENOENT"],
    ["a folder", ["--file", "."], "--file .: it cannot be read (it is a folder)"],
  ])("refuses %s", async (_, args, message) => {
    const ended = await retrieve(["-m", tiny, "x", ...args]);
    expect(ended).toMatchObject({ code: 2, out: "", err: expect.stringContaining(`error: ${message}`) });
  });

  it.each([
    ["a byte that begins nothing", 4, [0xff]],
    ["a character cut short", 4, [0xe2, 0x82, 0x78]],
    ["one cut short by the end", 4, [0xf0, 0x9f, 0x8c]],
    ["one far into it", 300_000, [0xc3, 0x28]],
  ])("tells where a text is no UTF-8: %s", async (_, before, wrong) => {
    const bytes = Buffer.from([...Buffer.from("é".repeat(before / 2)), ...wrong]);
    await writeFile(at("wrong"), bytes);
    const where = `--file ${at("wrong")}`;
    expect(await retrieve(["-m", tiny, "x", "--file", at("wrong")])).toEqual({
      code: 2,
      out: "",
      err: expect.stringContaining(`error: ${where}: it is not UTF-8 text: see byte ${before}`),
    });
    const piped = await retrieve(["-m", tiny, "x"], [bytes.subarray(0, 2), bytes.subarray(2)]);
    expect(piped.err).toContain(`error: standard input: it is not UTF-8 text: see byte ${before}`);
  });
});
