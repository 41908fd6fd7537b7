import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Alignment, readAlignment } from "../engine/alignment/alignment-file.ts";
import type { Model } from "../engine/model.ts";
import { bytesSource } from "../weights/byte-source.ts";
import { startThread } from "../weights/node/threads.ts";
import { openTensorFile } from "../weights/open.ts";
import { type Ended, resonant as runResonant } from "./cli.ts";
import { mulberry32, relativeError, testGpu } from "./gpu.ts";
import { fixturePath, loadDefault, loadTiny, openGolden, writeModel } from "./models.ts";

const gpu = await testGpu();

let folder: string;
let tiny: string;
/** A base model of 32 dimensions, with the tokenizer of bytes. */
let base: string;
let data: string;
let output: string;
/** The bytes of the text, each of which is a token. */
let bytes: Buffer;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "resonant-calibrate-"));
  tiny = join(folder, "tiny");
  data = join(folder, "text.txt");
  output = join(folder, "alignment.safetensors");
  await writeModel(tiny);
  base = join(folder, "base");
  for (const part of ["base-models/neox-parallel", "tokenizers/bytes"]) {
    await cp(fixturePath(part), base, { recursive: true });
  }
  const words = ["so", "foul", "and", "fair", "a", "day", "I", "have", "not", "seen"];
  const next = mulberry32(1);
  const text = Array.from({ length: 120 }, () => words[Math.floor(next() * words.length)]).join(" ");
  bytes = Buffer.from(text).subarray(0, 331);
  await writeFile(data, bytes);
});
afterAll(() => rm(folder, { recursive: true }));

const resonant = (...args: string[]): Promise<Ended> => runResonant(args);

async function calibrated(model: Model, path = output): Promise<Alignment> {
  return readAlignment(
    await openTensorFile(bytesSource(path, new Uint8Array(await readFile(path))), startThread),
    model,
  );
}

/** Feeds tokens one by one; returns the first block's vector memory after each. */
async function memories({ runner }: Model, tokens: Uint8Array): Promise<Float64Array[]> {
  const { size, taps } = runner.weights.shape;
  const slot = runner.pool.take();
  runner.pool.clear(slot);
  const rows: Float64Array[] = [];
  for (const [position, token] of tokens.entries()) {
    runner.step(slot, position, token);
    const { state } = await runner.pool.read(slot);
    rows.push(Float64Array.from(state.subarray((taps - 1) * size, taps * size)));
  }
  runner.pool.give(slot);
  return rows;
}

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
};

/** Solves A X = B for X by Gauss-Jordan elimination with pivots. */
function eliminate(a: readonly number[][], b: readonly number[][]): number[][] {
  const rows = a.map((row, i) => [...row, ...b[i]!]);
  for (let column = 0; column < a.length; column++) {
    const pivot = rows.reduce(
      (best, row, i) => (i >= column && Math.abs(row[column]!) > Math.abs(rows[best]![column]!) ? i : best),
      column,
    );
    [rows[column], rows[pivot]] = [rows[pivot]!, rows[column]!];
    const own = rows[column]!.map((value) => value / rows[column]![column]!);
    rows.forEach((row, i) => {
      rows[i] = i === column ? own : row.map((value, j) => value - row[column]! * own[j]!);
    });
  }
  return rows.map((row) => row.slice(a.length));
}

it("writes the same fit as a computation by hand from the model's memories, and reports its quality", async () => {
  const lambda = 0.5;
  const said = await resonant("calibrate", output, "-m", tiny, "--data", data, "--lambda", "0.5", "--json");
  expect(said).toMatchObject({ code: 0 });
  const report = JSON.parse(said.out);

  const model = await loadTiny(gpu, { slots: 1 });
  const golden = await openGolden("native_long");
  const table = await golden.float32("weights.embed.weight");
  const embedding = (token: number): Float32Array => table.subarray(token * 64, token * 64 + 64);
  const z = await memories(model, bytes.subarray(0, 330));
  const e = Array.from(bytes.subarray(1), (token) => embedding(token));
  const d = Array.from({ length: 64 }, (_, i) => i);
  const column = (rows: readonly ArrayLike<number>[], i: number): number[] =>
    rows.slice(0, 297).map((row) => row[i]!);
  const [zs, es] = [d.map((i) => column(z, i)), d.map((i) => column(e, i))];
  const w = eliminate(
    zs.map((a, i) => zs.map((b, j) => dot(a, b) + (i === j ? lambda : 0))),
    zs.map((a) => es.map((b) => dot(a, b))),
  );
  const { weights, ...rest } = await calibrated(model);
  expect(relativeError(weights, w.flat())).toBeLessThan(1e-4);

  const turned = d.map((j) => w.map((row) => row[j]!));
  const aligned = z.map((row) => turned.map((weight) => dot(row, weight)));
  const residual = (from: number, to: number): number =>
    relativeError(
      aligned.slice(from, to).flat(),
      e.slice(from, to).flatMap((row) => Array.from(row)),
    );
  expect(rest).toEqual({ lambda, tokens: 297, residual: report.residual });
  expect(report).toMatchObject({ lambda, tokens: 297, output, bytes: (await readFile(output)).length });
  expect(report.residual).toBeCloseTo(residual(0, 297), 5);

  const held = report.held_out;
  expect(held.tokens).toBe(33);
  expect(held.residual).toBeCloseTo(residual(297, 330), 5);
  const order = (scores: readonly number[]): number[] =>
    [...scores.keys()].sort((a, b) => scores[b]! - scores[a]! || a - b).slice(0, 5);
  const ids = Array.from({ length: 300 }, (_, token) => token);
  const targets = Array.from(bytes.subarray(298));
  const share = (guesses: readonly number[][]): number[] =>
    [1, 5].map(
      (most) => targets.filter((token, i) => guesses[i]!.slice(0, most).includes(token)).length / 33,
    );
  const ranked = aligned.slice(297).map((row) => order(ids.map((token) => dot(row, embedding(token)))));
  expect([held.top1, held.top5]).toEqual(share(ranked));
  const counts = ids.map((token) => bytes.subarray(1, 298).filter((byte) => byte === token).length);
  expect([held.baseline_top1, held.baseline_top5]).toEqual(share(targets.map(() => order(counts))));
  const mean = es.map((values) => values.reduce((sum, value) => sum + value, 0) / 297);
  const heldRows = e.slice(297).flatMap((row) => Array.from(row));
  expect(held.mean_residual).toBeCloseTo(
    relativeError(
      targets.flatMap(() => mean),
      heldRows,
    ),
    9,
  );
});

it("prints the same in words, for at most the given number of tokens", async () => {
  const args = ["calibrate", output, "-m", tiny, "--data", data, "--tokens", "101"];
  const kept = await readFile(output);
  const refused = await resonant(...args);
  expect(refused).toMatchObject({ code: 2, out: "", err: expect.stringMatching(/exists already/) });
  expect(await readFile(output)).toEqual(kept);

  const { code, out } = await resonant(...args, "--force");
  expect(code).toBe(0);
  expect(out).toMatch(/^λ 0\.01, fitted to 90 tokens: relative residual 0\.\d{4}$/m);
  expect(out).toMatch(/^held out, 10 tokens: relative residual \d\.\d{4}, mean embedding \d\.\d{4}$/m);
  expect(out).toMatch(/^next token by the readout alone: top 1 [\d.]+ %, top 5 [\d.]+ %$/m);
  expect(out).toMatch(/^next token by frequency alone: top 1 [\d.]+ %, top 5 [\d.]+ %$/m);
  expect(await calibrated(await loadTiny(gpu, { slots: 1 }))).toMatchObject({ lambda: 0.01, tokens: 90 });
});

it("writes a file that another model refuses", async () => {
  await expect(calibrated(await loadDefault(gpu))).rejects.toThrow(/alignment\.safetensors: .*another model/);
});

it("accepts a base model with adapters that have a memory, and refuses it without", async () => {
  const args = ["calibrate", output, "-m", base, "--data", data, "--force"];
  const checkpoint = fixturePath("checkpoints/adapters_d32_zip.pt");
  const said = await resonant(...args, "--checkpoint", checkpoint, "--json");
  expect(said).toMatchObject({ code: 0 });
  expect(JSON.parse(said.out)).toMatchObject({ lambda: 0.01, tokens: 297, held_out: { tokens: 33 } });
  const file = await openTensorFile(bytesSource(output, new Uint8Array(await readFile(output))), startThread);
  expect(file.tensors.get("W")).toMatchObject({ dtype: "F32", shape: [32, 32] });

  const bare = await resonant(...args);
  expect(bare).toMatchObject({ code: 1, out: "" });
  expect(bare.err).toMatch(/^error: the model has no phase-vector memory.*\n$/m);
});

it.each<[string, string[], RegExp]>([
  ["no text", [], /--data/],
  ["a text that is not there", ["--data", "/nowhere.txt"], /--data \/nowhere\.txt/],
  ["a negative λ", ["--data", "TEXT", "--lambda", "-1"], /--lambda/],
  ["fewer tokens than it needs", ["--data", "TEXT", "--tokens", "10"], /--tokens/],
  ["λ = 0 and few tokens", ["--data", "TEXT", "--lambda", "0", "--tokens", "40"], /lambda: .* is singular/],
])("refuses %s with status 2, in a line, and writes nothing", async (_, args, message) => {
  const before = await readdir(folder);
  const given = args.map((arg) => (arg === "TEXT" ? data : arg));
  const ended = await resonant("calibrate", join(folder, "none.safetensors"), "-m", tiny, ...given);
  expect(ended).toMatchObject({ code: 2, out: "" });
  expect(ended.err).toMatch(message);
  expect(ended.err).not.toMatch(/\n\s+at /);
  expect(await readdir(folder)).toEqual(before);
});
