// Answers the first questions about a GPU within a given time, and keeps every answer as it comes: what a dispatch costs, how
// fast memory is, how much of that decoding uses, whether rows and tiles agree, how fast it is beside PyTorch, and whether a
// token at position 1,000,000 costs the same as an early one. Needs Node, dist/, weights/shakespeare and, for the rows of
// PyTorch, a Python with torch and transformers.
import { execFile, spawn } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Command, Option } from "commander";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const cli = join(root, "dist/cli.js");

const options = new Command("gpu.mjs")
  .description("Measure a GPU: one row after another, the most important ones first, until the time is up.")
  .option("--minutes <n>", "the time for everything; what does not fit is listed as not run", Number, 10)
  .option("--case-minutes <n>", "the time for one case; a case that takes longer is given up", Number, 3)
  .option("--software", "measure a software adapter, which is otherwise refused", false)
  .option("--quick", "fewer and shorter rounds", false)
  .option("--large <geometry>", "a Llama geometry, whose products are measured one by one", "tinyllama-1.1b")
  .option("--small <geometry>", "a GPT-NeoX geometry, which PyTorch also runs", "pythia-160m")
  .option("--cases <parts...>", "only the cases whose names contain one of these")
  .addOption(
    new Option("--python <file>", "a Python with torch and transformers")
      .env("RESONANT_PYTHON")
      .default("python3"),
  )
  .option("--from <file>", "print the tables of an earlier --out, without measuring")
  .option("--out <file>", "default: bench/results/DATE-gpu.jsonl")
  .exitOverride(({ exitCode }) => process.exit(exitCode && 2))
  .parse()
  .opts();

const { large, small } = options;
const PYTORCH = "rivals: PyTorch";
const end = performance.now() + 60_000 * options.minutes;
const left = () => end - performance.now();
const timeIsUp = `the ${options.minutes} minutes were over`;
const note = (text) => process.stderr.write(`${text}\n`);

/** All cases in the order of their importance. */
const plan = [
  "gpu: first dispatches",
  "ceilings: dispatch",
  "ceilings: copy",
  "ceilings: read",
  ...["out", "down", "up", "qkv"].flatMap((product) =>
    ["f16", "q4"].map((format) => `gpu: product ${large} ${product} ${format}`),
  ),
  "gpu: row against tile bits",
  "kernels: sample",
  "kernels: logprobs",
  "gpu: unchecked",
  "native: decode and prompt",
  "streams: decode at once",
  ...["f32", "f16"].map((format) => `models: ${small} ${format}`),
  ...["f16", "q4"].map((format) => `models: ${large} ${format}`),
  PYTORCH,
].filter((name) => options.cases?.some((part) => name.includes(part)) ?? true);

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
try {
  const out = options.from ?? (await measure());
  process.stdout.write(tables(linesOf(out)));
} catch (error) {
  note(error.message);
  process.exitCode = 1;
}

/** The first path of this name that does not exist yet: a second run of a day keeps the first one's results. */
function unused(name, ending) {
  for (let run = 1; ; run++) {
    const path = `${name}${run === 1 ? "" : `-${run}`}${ending}`;
    if (!existsSync(path)) return path;
  }
}

/** Measures the plan; returns the file of its rows. */
async function measure() {
  const date = new Date().toISOString();
  const out = resolve(options.out ?? unused(join(root, `bench/results/${date.slice(0, 10)}-gpu`), ".jsonl"));
  const held = []; // until the adapter is known: a refused run leaves no file
  let begun = false;
  const begin = () => {
    if (begun) return;
    begun = true;
    mkdirSync(dirname(out), { recursive: true });
    writeFileSync(out, held.join(""));
  };
  const keep = (value) => {
    const line = `${JSON.stringify(value)}\n`;
    if (begun) appendFileSync(out, line);
    else held.push(line);
    if (value.adapter !== undefined) begin();
  };
  keep({ run: "gpu.mjs", date, minutes: options.minutes, large, small, plan });

  const remaining = new Set(plan.filter((name) => name !== PYTORCH));
  while (remaining.size > 0 && left() > 0) {
    const before = remaining.size;
    const { failure } = await runCases(remaining, keep);
    if (remaining.size < before || left() <= 0) continue;
    // It ended before the first case, and would do so again.
    if (before === plan.filter((name) => name !== PYTORCH).length) {
      const advice = options.software
        ? ""
        : "; without a GPU, --software measures a software adapter all the same";
      throw new Error(failure.replace(/--device: |, or leave --device out[^,;]*/g, "") + advice);
    }
    for (const name of remaining) keep({ case: name, error: failure });
    remaining.clear();
  }
  begin();
  for (const name of remaining) keep({ case: name, notRun: timeIsUp });
  if (plan.includes(PYTORCH)) await pytorch(keep);
  return out;
}

/**
 * Runs the remaining cases in one process until they are done, or it ends, or a case takes too long; removes those that have
 * a result or an error. Returns what the process said when it failed.
 * @throws Error if the adapter is refused
 */
async function runCases(remaining, keep) {
  const device = options.software ? "cpu" : "gpu";
  const args = ["bench", "--lines", "--device", device, ...(options.quick ? ["--quick"] : []), ...remaining];
  const child = spawn(process.execPath, [cli, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    detached: process.platform !== "win32", // so that the processes of its models end with it
  });
  const stop = () => {
    try {
      if (process.platform === "win32") child.kill();
      else process.kill(-child.pid, "SIGKILL");
    } catch {
      // It has ended by itself.
    }
  };
  process.once("exit", stop);
  const ended = new Promise((resolve) => child.once("close", resolve));
  let said = "";
  child.stderr.on("data", (data) => {
    said = (said + data).slice(-10_000);
  });

  let current;
  let gaveUp;
  let timer;
  const limit = () => {
    clearTimeout(timer);
    const own = 60_000 * options.caseMinutes;
    const giveUp = () => {
      gaveUp = left() <= 0 ? { notRun: timeIsUp } : { error: `it took over ${options.caseMinutes} minutes` };
      stop();
    };
    timer = setTimeout(giveUp, Math.max(0, Math.min(own, left())));
  };
  const done = (value) => {
    keep(value);
    remaining.delete(value.case);
  };
  let refused;
  limit();
  for await (const text of createInterface({ input: child.stdout })) {
    const line = JSON.parse(text);
    if (line.adapter !== undefined) {
      note(`${line.adapter}, Node ${line.node}`);
      if (line.kind === "software" && !options.software) {
        refused = new Error(`${line.adapter} computes on the CPU; --software measures it all the same`);
        stop();
      } else {
        keep(line);
      }
    } else if (line.begins !== undefined) {
      current = line.begins;
      note(current);
      limit();
    } else {
      current = undefined;
      for (const { group: _group, ...row } of line.rows ?? []) keep({ case: line.case, ...row });
      if (line.error === undefined) remaining.delete(line.case);
      else done({ case: line.case, error: line.error });
    }
  }
  const status = await ended;
  clearTimeout(timer);
  process.off("exit", stop);
  if (refused) throw refused;
  const failure = lastLine(said) || `the process ended with ${status}`;
  if (current !== undefined) done({ case: current, ...(gaveUp ?? { error: failure }) });
  return { failure };
}

/** Measures PyTorch, or says why not. */
async function pytorch(keep) {
  if (left() < 20_000) return keep({ case: PYTORCH, notRun: timeIsUp });
  note(PYTORCH);
  const work = await mkdtemp(join(tmpdir(), "resonant-gpu-"));
  const run = (command, args) =>
    promisify(execFile)(command, args, {
      maxBuffer: 2 ** 26,
      timeout: Math.ceil(Math.max(1, left())),
      killSignal: "SIGKILL",
    });
  try {
    const script = join(root, "bench/rivals/pytorch.py");
    await run(options.python, [script, "--help"]); // fails early if torch is not installed, before a model is written
    const model = join(work, "model");
    await run(process.execPath, [cli, "random-model", small, model]);
    const { stdout } = await run(options.python, [script, model, "--prompt", "512", "--tokens", "64"]);
    for (const line of stdout.split("\n").filter((each) => each.startsWith("{"))) {
      const { engine, adapter, format, decodeTokensPerSecond: value } = JSON.parse(line);
      keep({ case: PYTORCH, name: `${engine}, ${adapter}`, format, value, unit: "tokens/s" });
    }
  } catch (error) {
    const why = left() <= 0 ? { notRun: timeIsUp } : { error: lastLine(error.stderr) || error.message };
    keep({ case: PYTORCH, ...why });
  } finally {
    await rm(work, { recursive: true, force: true, maxRetries: 3 });
  }
}

function lastLine(text = "") {
  return text.trim().split("\n").at(-1);
}

function linesOf(path) {
  const lines = readFileSync(path, "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line));
}

/** The rows as Markdown, first those that answer the questions. */
function tables(lines) {
  const about = lines.find((line) => line.adapter !== undefined);
  const asked = lines.find((line) => line.run !== undefined);
  const rows = lines.filter((line) => line.value !== undefined);
  const number = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3));
  const find = (of, start) => rows.find((row) => row.case === of && row.name.startsWith(start));
  const answers = [];
  const copy = find("ceilings: copy", "copy")?.value;
  const read = find("ceilings: read", "read")?.value;
  for (const format of ["f16", "q4"]) {
    for (const how of ["", ", sampled"]) {
      const row = rows.find(
        ({ case: of, name }) =>
          of === `models: ${asked.large} ${format}` && /decode of \d+(.*)$/.exec(name)?.[1] === how,
      );
      if (!row) continue;
      const share = (of) => (of === undefined ? "?" : number(row.bytesPerSecond / 1e7 / of));
      answers.push(
        `${asked.large} ${format}${how}: ${number(row.value)} tokens/s read ${number(row.bytesPerSecond / 1e9)} GB/s, ` +
          `${share(copy)} % of a copy, ${share(read)} % of reading`,
      );
    }
  }
  for (const theirs of rows.filter((row) => row.case === PYTORCH)) {
    const ours = rows.find(
      ({ case: of, name }) => of === `models: ${asked.small} ${theirs.format}` && /decode of \d+$/.test(name),
    );
    const ratio = ours
      ? `${number(ours.value)} tokens/s are ${(ours.value / theirs.value).toFixed(2)} × the `
      : "";
    answers.push(`${asked.small} ${theirs.format}: ${ratio}${number(theirs.value)} of ${theirs.name}`);
  }
  const native = "native: decode and prompt";
  const [early, late] = ["a token at position 1,000", "a token at position 1,000,000"].map((name) =>
    rows.find((row) => row.case === native && row.name === name),
  );
  if (early && late) {
    answers.push(
      `default model, a token at position 1,000: ${number(early.value)} ms; at 1,000,000: ${number(late.value)} ms, ` +
        `${(late.value / early.value).toFixed(2)} ×`,
    );
  }
  const many = find("streams: decode at once", "32 streams / 1 stream");
  if (many) answers.push(`default model, 32 streams: ${number(many.value)} × one`);
  const bits = rows.filter((row) => row.case === "gpu: row against tile bits");
  if (bits.length > 0) {
    const wrong = bits.filter(({ value }) => value !== 0).map(({ name }) => name);
    answers.push(`row against tiles: ${wrong.length === 0 ? "the same bits" : wrong.join("; ")}`);
  }
  const missing = lines.filter((line) => line.error !== undefined || line.notRun !== undefined);
  return [
    about ? `${about.adapter}, Node ${about.node}, ${about.date.slice(0, 10)}` : "no adapter",
    "",
    ...answers.map((line) => `- ${line}`),
    "",
    "| case | figure | value | quartiles | |",
    "| --- | --- | ---: | ---: | --- |",
    ...rows.map(({ case: of, name, value, low = value, high = value, unit }) => {
      const spread = low === high ? "" : `${number(low)}–${number(high)}`;
      return `| ${of} | ${name} | ${number(value)} | ${spread} | ${unit} |`;
    }),
    "",
    ...missing.map(
      (line) =>
        `${line.case}: ${line.error === undefined ? `not run, ${line.notRun}` : `failed: ${line.error}`}`,
    ),
    "",
  ].join("\n");
}
