// Answers the first questions about a GPU: how much of the memory bandwidth decoding uses, how fast it is compared with
// PyTorch, and whether a token at position 1,000,000 costs the same as an early one. Needs Node, dist/ and, for the rows of
// PyTorch, a Python with torch.
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Command, Option } from "commander";
import { publish } from "./rivals/report.mjs";

const execute = promisify(execFile);
const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const cli = join(root, "dist/cli.js");

const options = new Command("gpu.mjs")
  .description(
    "Measure bandwidth use, speed beside PyTorch and the cost of late positions, and print a table.",
  )
  .addOption(
    new Option("--python <file>", "a Python with torch and transformers")
      .env("RESONANT_PYTHON")
      .default("python3"),
  )
  .option(
    "--large <geometry>",
    "the geometry whose decoding is compared with the bandwidth",
    "tinyllama-1.1b",
  )
  .option("--small <geometry>", "a GPT-NeoX geometry, which PyTorch also runs", "pythia-160m")
  .option(
    "--from <file>",
    "a report of an earlier `resonant bench --save`, used instead of a new measurement",
  )
  .option("--out <file>", "default: bench/results/DATE-ADAPTER-gpu.json")
  .option("--json", "print the written JSON instead of a table")
  .exitOverride(({ exitCode }) => process.exit(exitCode && 2))
  .parse()
  .opts();

const run = (command, args) => execute(command, args, { maxBuffer: 2 ** 26 });
const note = (text) => process.stderr.write(`${text}\n`);
const FORMATS = ["f32", "f16"];

const work = await mkdtemp(join(tmpdir(), "resonant-gpu-"));
try {
  const report = await measure();
  await publish(report, { ...options, adapter: report.adapter, what: "gpu", table });
} catch (error) {
  note(lastLine(error.stderr) || error.message);
  process.exitCode = 1;
} finally {
  await rm(work, { recursive: true, force: true, maxRetries: 3 });
}

async function measure() {
  const { large, small, python } = options;
  const { adapter, date, rows } = JSON.parse(await readFile(options.from ?? (await bench()), "utf8"));
  /** Finds a row by its name, or by the start of its name if `wanted` ends in a space. */
  const row = (wanted) => {
    const found = rows.find(
      ({ name }) => name === wanted || (wanted.endsWith(" ") && name.startsWith(wanted)),
    );
    if (found) return found;
    throw new Error(`${options.from ?? "resonant bench"}: there is no row "${wanted}"`);
  };
  const last = ({ name }) => Number(name.split(" ").at(-1));
  const { bytesPerSecond, value: tokensPerSecond } = row(`${large} f16: decode of `);
  const prompt = last(row(`${small} f32: prompt of `)); // decoding starts after the first prompt
  const tokens = last(row(`${small} f32: decode of `));
  const ours = FORMATS.map((format) => ({ format, perSecond: row(`${small} ${format}: decode of `).value }));
  note("PyTorch");
  const theirs = await pytorch(python, small, prompt, tokens);
  return {
    adapter: { name: adapter },
    date: date.slice(0, 10),
    node: process.version,
    bandwidth: {
      model: large,
      tokensPerSecond,
      bytesPerSecond,
      copyBytesPerSecond: row("copy of ").value * 1e9,
    },
    batch1: { model: small, prompt, tokens, ours, ...theirs },
    /** Milliseconds per token. */
    positions: {
      1000: row("a token at position 1,000").value,
      1000000: row("a token at position 1,000,000").value,
    },
  };
}

/** Runs the needed cases of `resonant bench`; returns the path of its report. */
async function bench() {
  note("resonant bench");
  const { large, small } = options;
  const cases = [...new Set([`${large} f16`, ...FORMATS.map((format) => `${small} ${format}`)])];
  await run(process.execPath, [cli, "bench", "native", ...cases, "--save", work]);
  const name = (await readdir(work)).find((file) => file.endsWith(".json"));
  return join(work, name);
}

/** Returns the rows of PyTorch, or the reason why there are none. */
async function pytorch(python, geometry, prompt, tokens) {
  try {
    const script = join(root, "bench/rivals/pytorch.py");
    await run(python, [script, "--help"]); // fails early if torch is not installed, before a model is written
    const model = join(work, "model");
    await run(process.execPath, [cli, "random-model", geometry, model]);
    const { stdout } = await run(python, [script, model, "--prompt", `${prompt}`, "--tokens", `${tokens}`]);
    const rows = stdout.split("\n").filter((line) => line.startsWith("{"));
    return { theirs: rows.map((line) => JSON.parse(line)) };
  } catch (error) {
    return { theirs: [], failure: lastLine(error.stderr) || error.message };
  }
}

function lastLine(text = "") {
  return text.trim().split("\n").at(-1);
}

function table({ adapter, date, node, bandwidth, batch1, positions }) {
  const number = (value) => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));
  const share = (100 * bandwidth.bytesPerSecond) / bandwidth.copyBytesPerSecond;
  const { model, ours, theirs, failure, prompt, tokens } = batch1;
  return [
    `${adapter.name}, Node ${node}, ${date}`,
    "",
    `${bandwidth.model} f16: ${number(bandwidth.tokensPerSecond)} tokens/s read ${number(bandwidth.bytesPerSecond / 1e9)} GB/s, ` +
      `${number(share)} % of the ${number(bandwidth.copyBytesPerSecond / 1e9)} GB/s of a copy`,
    "",
    `| ${model}, one stream, ${tokens} tokens after ${prompt} | adapter | format | tokens/s | ours / theirs |`,
    "| --- | --- | --- | ---: | ---: |",
    ...ours.map(({ format, perSecond }) => {
      return `| Resonant | ${adapter.name} | ${format} | ${number(perSecond)} | |`;
    }),
    ...theirs.map(({ engine, adapter, format, decodeTokensPerSecond: rate }) => {
      const ratio = ours.find((each) => each.format === format).perSecond / rate;
      return `| ${engine} | ${adapter} | ${format} | ${number(rate)} | ${ratio.toFixed(2)} × |`;
    }),
    ...(failure === undefined ? [] : [`| PyTorch | did not run: ${failure} | | | |`]),
    "",
    `native, a token at position 1,000: ${number(positions[1000])} ms; at 1,000,000: ${number(positions[1000000])} ms, ` +
      `${(positions[1000000] / positions[1000]).toFixed(2)} ×`,
    "",
  ].join("\n");
}
