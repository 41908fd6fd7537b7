// Measures Resonant and other engines with the same model, prompt and adapter; rounds take turns. See README.md.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Command, InvalidArgumentError, Option } from "commander";
import { atLeast } from "./at-least.mjs";
import { bundleLibrary, findChromium, openChromium } from "./chromium.mjs";
import { lineup } from "./lineup.mjs";
import { agreement, figures, publish, ratios, tables } from "./report.mjs";

const execute = promisify(execFile);
const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, "../..");

/** The rivals' formats to compare with each of ours. */
const VARIANTS = { f32: ["f32"], f16: ["f16"], q4: ["q4", "q4f16"] };

const list = (text) => text.split(",");
const formats = (text) => {
  const names = Object.keys(VARIANTS);
  const wrong = list(text).find((name) => !names.includes(name));
  if (wrong === undefined) return list(text);
  throw new InvalidArgumentError(`${wrong || "An empty name"} is not one of ${names.join(", ")}.`);
};

const options = new Command("run.mjs")
  .description("Measure Resonant and other engines side by side on one model.")
  .option("--prompt <n>", "tokens of the prompt", atLeast(2), 512)
  .option("--tokens <n>", "tokens to generate; the prompt gives the first", atLeast(2), 32)
  .option("--rounds <n>", "measured rounds, after one warm-up round", atLeast(1), 3)
  .option("--formats <list>", `some of ${Object.keys(VARIANTS)}`, formats, Object.keys(VARIANTS))
  .option("--engines <list>", "only engines whose names contain one of these", list, [""])
  .option("--model <folder>", "a GPT-NeoX model; default: random weights of Pythia-160m's sizes")
  .addOption(
    new Option(
      "--attention <kind>",
      "attention of the ONNX model; default: fused, but plain on SwiftShader",
    ).choices(["fused", "plain"]),
  )
  .option("--packages <folder>", "folder of the rivals' packages", join(here, "node_modules"))
  .option("--chromium <file>", "default: the first Chromium or Chrome on the path")
  .option(
    "--chromium-arg <switch>",
    "an additional switch for Chromium; may be repeated",
    (value, all) => [...all, value],
    [],
  )
  .addOption(
    new Option("--python <file>", "a Python with the packages of requirements.txt")
      .env("RESONANT_PYTHON")
      .default("python3"),
  )
  .option("--out <file>", "default: bench/results/DATE-ADAPTER-rivals.json")
  .option("--json", "print the written JSON instead of tables")
  .exitOverride(({ exitCode }) => process.exit(exitCode && 2))
  .parse()
  .opts();

const note = (text) => process.stderr.write(`${text}\n`);
const messageOf = (error) => (error instanceof Error ? error.message : String(error)).trim();

const work = await mkdtemp(join(tmpdir(), "resonant-rivals-"));
try {
  const report = await measure();
  const { adapter } = report.rows.find((row) => row.adapter) ?? {};
  await publish(report, { ...options, adapter, what: "rivals", table: tables });
} catch (error) {
  note(messageOf(error));
  process.exitCode = 1;
} finally {
  await rm(work, { recursive: true, force: true, maxRetries: 3 });
}

async function measure() {
  const model = options.model ? resolve(options.model) : await randomModel();
  const { vocab_size: vocabulary } = JSON.parse(await readFile(join(model, "config.json"), "utf8"));
  const prompt = Array.from({ length: options.prompt }, (_, i) => (i * 31 + 7) % vocabulary);
  const onnx = join(work, "onnx");
  const folders = {
    page: join(work, "page"),
    rivals: options.packages,
    engines: join(here, "engines"),
    model,
    onnx,
  };
  await mkdir(onnx);
  await bundleLibrary(folders.page);
  const executable = options.chromium ?? findChromium();
  const chromium = await openChromium(executable, folders, options.chromiumArg).catch((error) => ({
    failure: `Chromium: ${messageOf(error)}`,
  }));
  const rows = [];
  try {
    for (const base of options.formats) {
      rows.push(...(await measureFormat(base, prompt, { model, onnx, chromium, executable })));
    }
  } finally {
    await chromium.close?.();
  }
  // The reference tokens, in the files' own precision: PyTorch's, or else those of the first engine that ran.
  const whole = rows.filter(({ runs, format }) => runs && format === "f32");
  const reference = (whole.find(({ engine }) => engine.startsWith("PyTorch")) ?? whole[0])?.runs[0].tokens;
  for (const row of rows.filter(({ runs }) => runs)) {
    row.figures = figures(row, options.prompt);
    row.agreement = agreement(row, reference ?? row.runs[0].tokens);
  }
  return {
    date: new Date().toISOString().slice(0, 10),
    model: options.model ?? "pythia-160m, random weights",
    chromium: chromium.version,
    onnxAttention: attentionOf(chromium),
    node: process.version,
    prompt: options.prompt,
    tokens: options.tokens,
    rounds: options.rounds,
    rows,
    ratios: ratios(rows),
  };
}

async function randomModel() {
  const folder = join(work, "model");
  await execute(process.execPath, [join(root, "dist/cli.js"), "random-model", "pythia-160m", folder]);
  return folder;
}

/** Opens every engine in one format, runs them in turns, and closes them. A failed engine gets a row with the reason. */
async function measureFormat(base, prompt, at) {
  const forms = VARIANTS[base];
  const exported = exportOnnx(forms, at);
  exported.catch(() => {}); // engines that need the export report the failure
  const rows = [];
  const opened = [];
  const ways = lineup({ ...at, exported, packages: options.packages, python: options.python });
  for (const { engine: name, where, formats, open } of ways.filter(wanted)) {
    for (const format of forms.filter((each) => formats.includes(each))) {
      const row = { engine: name, where, base, format };
      rows.push(row);
      await attempt(row, "opening", async () => {
        const engine = await open(format);
        opened.push({ row, engine });
        Object.assign(row, { version: engine.version, adapter: engine.adapter, runs: [] });
      });
    }
  }
  for (let round = 0; round <= options.rounds; round++) {
    for (const { row, engine } of opened.filter(({ row }) => row.error === undefined)) {
      await attempt(row, round === 0 ? "warming up" : `round ${round}`, async () => {
        const run = await engine.run(prompt, options.tokens);
        if (round > 0) row.runs.push(run);
      });
    }
  }
  for (const { engine } of opened) await engine.close().catch(() => {});
  await exported.catch(() => {});
  await rm(join(at.onnx, "onnx"), { recursive: true, force: true });
  return rows;
}

function wanted({ engine, where }) {
  return options.engines.some((part) => `${engine} in ${where}`.includes(part));
}

async function attempt(row, what, work) {
  note(`${row.engine} in ${row.where}, ${row.format}: ${what}`);
  try {
    await work();
  } catch (error) {
    delete row.runs;
    row.error = messageOf(error)
      .replace(/^page\.evaluate: (Error: )?/, "")
      .split("\n")[0];
    note(`  did not run: ${row.error}`);
  }
}

/** Avoids ONNX Runtime's fused attention on Chromium's SwiftShader, where it gives wrong tokens; plain attention is right. */
function attentionOf({ softwareDriver }) {
  return options.attention ?? (softwareDriver ? "plain" : "fused");
}

async function exportOnnx(formats, { model, onnx, chromium }) {
  if (!["Chromium", "Node"].some((where) => wanted({ engine: "transformers.js", where }))) return;
  const flags = ["--formats", formats.join(), "--attention", attentionOf(chromium)];
  const args = [join(here, "export_onnx.py"), model, onnx, ...flags];
  await execute(options.python, args).catch((error) => {
    const reason = error.stderr?.trim().split("\n").at(-1) || messageOf(error);
    throw new Error(`${options.python} could not write the model as ONNX: ${reason}`);
  });
}
