import { spawnSync } from "node:child_process";
import { Command as Subcommand } from "commander";
import { createLogger } from "../../../api/log.ts";
import { listen } from "../../../api/server.ts";
import { Service } from "../../../api/service.ts";
import { batchBench } from "../../../bench/batch.ts";
import type { Row } from "../../../bench/harness/row.ts";
import { readable } from "../../../bench/harness/tables.ts";
import { type ModelFigures, runModel } from "../../../bench/model-run.ts";
import { retrievalBench } from "../../../bench/retrieve.ts";
import { servingBench } from "../../../bench/serving.ts";
import type { Model } from "../../../engine/model.ts";
import { defaultModelFolder, openModelFolder } from "../../../engine/platform/node/files.ts";
import type { WeightFormat } from "../../../kernels/matrix.ts";
import { resolveModel } from "../../../weights/node/hub/model.ts";
import { openModel } from "../../options.ts";
import { type ServeFlags, withServeOptions } from "../../serve-options.ts";
import { Progress, print, printJson, table } from "../../terminal.ts";
import { openTimedGpu } from "./device.ts";
import type { BenchFlags } from "./flags.ts";

/** `--streams` and `--retrieval`: measures decoding or retrieval of any model. */
export async function benchOne(flags: BenchFlags): Promise<void> {
  const model = await openModel(flags, flags.streams ? { slots: Math.max(3, ...flags.streams) } : {});
  const progress = new Progress("measuring", "timings");
  const onProgress = (done: number, total: number): void => progress.update(done, total);
  try {
    const rows = flags.retrieval
      ? await retrievalBench(model, {
          mode: flags.retrieval,
          ...(flags.quick
            ? { lengths: [8192, 65_536], needle: 48, rounds: 1 }
            : { lengths: [8192, 2 ** 20], needle: 48, rounds: 3 }),
          onProgress,
        })
      : [
          ...(await batchBench(model, {
            streams: flags.streams ?? [],
            ...(flags.quick ? { tokens: 16, rounds: 1 } : { tokens: 128, rounds: 3 }),
            onProgress,
          })),
          ...(await benchServing(model, flags, onProgress)),
        ];
    progress.stop();
    const about = { adapter: model.gpu.name, model: model.name, format: model.format };
    if (flags.json) return await printJson({ ...about, date: new Date().toISOString(), rows });
    await print(`${about.model} in ${about.format} on ${about.adapter}\n\n`);
    await print(table(rows.map(({ name, value, unit }) => [name, readable(value), unit])));
  } finally {
    progress.stop();
  }
}

/** Serves the model in this process, and measures requests over HTTP. */
async function benchServing(
  model: Model,
  { quick, streams }: BenchFlags,
  onProgress: (done: number, total: number) => void,
): Promise<Row[]> {
  const [longPrompt, sharedPrefix] = quick ? [3000, 1000] : [20_000, 4000];
  const most = Math.max(...(streams ?? []));
  const flags = ["--host=127.0.0.1", "--port=0", "--log-level=silent", "--max-tokens-limit=1000000"];
  const limits = [`--max-batch-size=${most}`, `--max-prompt-chars=${longPrompt + sharedPrefix}`];
  const settings: ServeFlags = withServeOptions(new Subcommand())
    .parse([...flags, ...limits], { from: "user" })
    .opts();
  const service = new Service(settings, createLogger(settings));
  const server = await listen(service);
  try {
    service.serve(model);
    const url = `http://127.0.0.1:${server.port}`;
    return await servingBench({
      url,
      longPrompt,
      sharedPrefix,
      streams: Math.max(1, Math.min(4, most - 2)),
      rounds: quick ? 3 : 10,
      onProgress,
    });
  } finally {
    await server.drain();
  }
}

interface LoadReport {
  readonly adapter: string;
  readonly model: string;
  readonly prompt: number;
  readonly tokens: number;
  readonly date: string;
  readonly rows: readonly ModelFigures[];
}

/** `--load`: measures the time and memory that a model takes to load and to run, in each weight format. */
export async function benchLoad(flags: BenchFlags): Promise<void> {
  const formats = flags.formats ?? [flags.format];
  const report = formats.length === 1 ? await loadHere(flags, formats[0] ?? "f32") : loadApart(formats);
  if (flags.json) return printJson(report);
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);
  const rate = (milliseconds: number | undefined): string => (1000 / (milliseconds ?? NaN)).toPrecision(3);
  await print(`${report.model} on ${report.adapter}, ${report.prompt} tokens and then ${report.tokens}\n\n`);
  await print(
    table([
      ["", ...report.rows.map(({ format }) => format)],
      ["load, s", ...report.rows.map(({ seconds }) => seconds.toFixed(2))],
      ["GPU, MB", ...report.rows.map(({ gpuBytes }) => megabytes(gpuBytes))],
      ["peak memory of the process, MB", ...report.rows.map(({ residentPeak }) => megabytes(residentPeak))],
      ["peak memory added by loading, MB", ...report.rows.map(({ hostPeak }) => megabytes(hostPeak))],
      ["prompt, tokens/s", ...report.rows.map(({ prompts }) => rate(prompts[0]?.median))],
      ["decode, tokens/s", ...report.rows.map(({ decode }) => rate(decode.median))],
    ]),
  );
}

async function loadHere(flags: BenchFlags, format: WeightFormat): Promise<LoadReport> {
  const { prompt, tokens, model, checkpoint } = flags;
  const folder = model === undefined ? await defaultModelFolder() : await resolveModel(model);
  const { gpu, name: adapter } = await openTimedGpu(flags);
  const files = await openModelFolder(folder, checkpoint);
  const progress = new Progress("reading the model", "tensors");
  try {
    const row = await runModel(gpu, files, {
      format,
      placement: flags.adapterPlacement,
      attention: flags.attention,
      prompts: prompt,
      tokens,
      rounds: flags.rounds,
      replay: flags.replay,
      onProgress: (done, total) => progress.update(done, total),
    });
    const date = new Date().toISOString();
    return { adapter, model: model ?? files.name, prompt: prompt[0] ?? 0, tokens, date, rows: [row] };
  } finally {
    progress.stop();
    await files.close();
    gpu.destroy();
  }
}

/** Measures each format in a separate process, since the system does not always report memory as freed. */
function loadApart(formats: readonly WeightFormat[]): LoadReport {
  const reports = formats.map((format): LoadReport => {
    const args = [...process.argv.slice(1), "--formats", format, "--json"];
    const { status, stdout } = spawnSync(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    if (status !== 0) process.exit(status ?? 1); // the process has printed its error
    return JSON.parse(stdout.toString());
  });
  return { ...reports[0]!, rows: reports.flatMap(({ rows }) => rows) };
}
