import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Bench, type BenchCase, chosen, fullName, runCases } from "../../../bench/harness/case.ts";
import { type Compared, compareReports, differences } from "../../../bench/harness/compare.ts";
import { parseReport, type Report, reportName } from "../../../bench/harness/report.ts";
import { comparedTables, reportTables, type Table } from "../../../bench/harness/tables.ts";
import type { ModelFigures, ModelRequest } from "../../../bench/model-run.ts";
import { benchPlots } from "../../../bench/plots.ts";
import { type GeometryName, geometries, writeRandomModel } from "../../../bench/random-model.ts";
import { benchCases } from "../../../bench/registry.ts";
import { ResonantError } from "../../../common/errors.ts";
import { parseConfig } from "../../../engine/config.ts";
import { DispatchTimer } from "../../../engine/device/dispatch-timer.ts";
import type { Gpu } from "../../../engine/device/gpu.ts";
import { Model } from "../../../engine/model.ts";
import { defaultModelFolder, openModelFolder } from "../../../engine/platform/node/files.ts";
import { storedTuning } from "../../../engine/platform/node/tuning-file.ts";
import packageJson from "../../../package.json" with { type: "json" };
import { cannotWrite } from "../../../weights/node/file.ts";
import { Progress, print, printJson, remark, table } from "../../terminal.ts";
import { openTimedGpu } from "./device.ts";
import type { BenchFlags } from "./flags.ts";

/** Runs the registry's cases, or reads the report of an earlier run, and prints the results. */
export async function benchRegistry(patterns: readonly string[], flags: BenchFlags): Promise<void> {
  // Read the report to compare with first, so that a wrong file name fails before a long run.
  const base = flags.compare === undefined ? undefined : await readReport(flags.compare);
  const report = flags.from === undefined ? await measure(patterns, flags) : await readReport(flags.from);
  if (flags.save || flags.plot) await save(report, flags);
  const compared = base && compareReports(report, base).rows;
  if (flags.json) await printJson({ ...report, ...(compared && { compared: compared.map(inJson) }) });
  else await tell(report, base);
  if (report.failures.length > 0) process.exitCode = 1;
}

const readReport = async (path: string): Promise<Report> => {
  const text = await readFile(path, "utf8").catch((cause: Error) => {
    throw new ResonantError("invalid_argument", `it cannot be read (${cause.message})`, {
      where: path,
      cause,
    });
  });
  return parseReport(text, path);
};

const inJson = ({ row, base, ratio, apart }: Compared) => {
  const { group, name, unit, value } = row;
  return { group, name, unit, value, before: base.value, ratio, apart };
};

async function measure(patterns: readonly string[], flags: BenchFlags): Promise<Report> {
  const quick = flags.quick ?? false;
  const all = benchCases(quick);
  const ceilings = all.filter(({ group }) => group === "ceilings");
  const wanted = chosen(all, patterns);
  if (wanted.length === 0) {
    throw new ResonantError("invalid_argument", `no case is called ${patterns.join(" or ")}`, {
      where: "cases",
      fix: "See `resonant bench --list`",
    });
  }
  const cases = [...ceilings, ...wanted.filter(({ group }) => group !== "ceilings")];
  const { gpu, name: adapter } = await openTimedGpu(flags);
  const progress = new Progress("measuring", "cases");
  try {
    const bench = await openBench(gpu, quick, flags);
    const date = new Date().toISOString();
    const { rows, failures } = await runCases(cases, bench, {
      onProgress: (done, total) => progress.update(done, total),
    });
    const about = {
      adapter,
      date,
      node: process.version,
      version: packageJson.version,
      quick,
      tuning: storedTuning(gpu.tuning),
    };
    return { ...about, rows, failures };
  } finally {
    progress.stop();
    gpu.destroy();
  }
}

/**
 * `--lines`: runs the named cases in the order in which they are named, without the ceilings, and prints what comes as lines
 * of JSON: what is measured on, each case that begins, and its rows or its error.
 */
export async function benchLines(patterns: readonly string[], flags: BenchFlags): Promise<void> {
  const quick = flags.quick ?? false;
  const all = benchCases(quick);
  const cases = [...new Set(patterns.flatMap((pattern) => chosen(all, [pattern])))];
  const { gpu, name: adapter } = await openTimedGpu(flags);
  const line = (value: unknown): void => {
    writeSync(1, `${JSON.stringify(value)}\n`); // at once: a process that crashes would lose what is buffered
  };
  try {
    line({
      adapter,
      kind: gpu.kind,
      date: new Date().toISOString(),
      node: process.version,
      version: packageJson.version,
      quick,
      tuning: storedTuning(gpu.tuning),
    });
    await runCases(cases, await openBench(gpu, quick, flags), {
      onProgress: (_done, _total, name) => name !== "" && line({ begins: name }),
      onCase: (of, rows, failure) =>
        line(failure ? { case: fullName(of), error: failure.message } : { case: fullName(of), rows }),
    });
  } finally {
    gpu.destroy();
  }
}

async function openBench(gpu: Gpu, quick: boolean, flags: BenchFlags): Promise<Bench> {
  const folder = await defaultModelFolder();
  const files = await openModelFolder(folder);
  const native = parseConfig(files.config, "config.json");
  await files.close();
  let model: Promise<Model> | undefined;
  let withoutChecks: Promise<Gpu> | undefined;
  const load = async (): Promise<Model> => {
    const opened = await openModelFolder(folder);
    try {
      return await Model.load(gpu, opened, { slots: 32 });
    } finally {
      await opened.close();
    }
  };
  return {
    gpu,
    timer: new DispatchTimer(gpu),
    quick,
    rounds: quick ? 3 : 5,
    sample: quick ? 5 : 20,
    uncached: gpu.kind === "software" ? 64e6 : 256e6,
    ceilings: {},
    native,
    model: () => {
      model ??= load();
      return model;
    },
    folder: randomFolders(),
    unchecked: () => {
      withoutChecks ??= openTimedGpu({ ...flags, unchecked: true }).then((opened) => opened.gpu);
      return withoutChecks;
    },
    apart: (request) => loadApart(request, flags),
  };
}

/** Writes models with random weights to temporary folders, which are deleted when the process exits. */
function randomFolders(): Bench["folder"] {
  const written = new Map<GeometryName, Promise<string>>();
  let root: string | undefined;
  return (name) => {
    if (root === undefined) {
      const made = mkdtempSync(join(tmpdir(), "resonant-bench-"));
      root = made;
      process.once("exit", () => rmSync(made, { recursive: true, force: true }));
      for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
    }
    const at = join(root, name);
    const writing = written.get(name) ?? writeRandomModel(at, geometries[name]).then(() => at);
    written.set(name, writing);
    return writing;
  };
}

/** Measures a model in a separate process. */
async function loadApart(request: ModelRequest, { device }: BenchFlags): Promise<ModelFigures> {
  const { model, format, prompts, tokens, rounds, replay } = request;
  const args = [
    ...[process.argv[1] ?? "", "bench", "--load", "--json", "--formats", format],
    ...["--prompt", prompts.join(), "--tokens", String(tokens), "--rounds", String(rounds)],
    ...(replay ? ["--replay"] : []),
    ...(model === undefined ? [] : ["--model", model]),
    ...(device === undefined ? [] : ["--device", device]),
  ];
  // Do not pass on the variables that choose another model.
  const { MODEL_NAME: _name, MODEL_CHECKPOINT: _checkpoint, ...env } = process.env;
  const { stdout } = await promisify(execFile)(process.execPath, args, { env, maxBuffer: 2 ** 26 }).catch(
    (error: Error & { stderr?: string }) => {
      const [said] = /^error: .*/m.exec(error.stderr ?? "") ?? [error.message];
      throw new Error(said);
    },
  );
  return (JSON.parse(stdout) as { rows: [ModelFigures] }).rows[0];
}

async function save(report: Report, flags: BenchFlags): Promise<void> {
  const folder = typeof flags.save === "string" ? flags.save : "bench/results";
  const name = join(folder, reportName(report));
  await mkdir(folder, { recursive: true });
  const files = new Map<string, string>();
  if (flags.from === undefined) files.set(`${name}.json`, `${JSON.stringify(report, undefined, 1)}\n`);
  if (flags.plot) for (const [kind, svg] of benchPlots(report)) files.set(`${name}-${kind}.svg`, svg);
  for (const [path, text] of files) {
    await writeFile(path, text).catch((cause) => {
      throw cannotWrite(path, cause);
    });
    remark(`wrote ${path}`);
  }
}

async function tell(report: Report, base: Report | undefined): Promise<void> {
  const { adapter, date, node, version, quick, rows, failures } = report;
  const how = `resonant ${version}, Node ${node}${quick ? ", --quick" : ""}`;
  await print(`${adapter}, ${date.slice(0, 10)}, ${how}\n`);
  await printTables(reportTables(rows));
  if (base) {
    const { rows: both, onlyNow, onlyBase } = compareReports(report, base);
    await print(`\ncompared with ${base.adapter}, ${base.date.slice(0, 16)} (~: within the quartiles)\n`);
    for (const difference of differences(report, base)) remark(`warning: ${difference}`);
    await printTables(comparedTables(both));
    if (onlyNow + onlyBase > 0) await print(`\n${onlyNow} figures are new, ${onlyBase} are gone\n`);
  }
  for (const { group, name, message } of failures) remark(`failed: ${group}: ${name}: ${message}`);
}

async function printTables(tables: readonly Table[]): Promise<void> {
  for (const { heading, lines } of tables) await print(`\n${heading}\n${table(lines)}`);
}

/** `--list`: prints the names of all cases. */
export const listCases = (cases: readonly BenchCase[]): Promise<void> =>
  print(cases.map(({ group, name }) => `${group}: ${name}\n`).join(""));
