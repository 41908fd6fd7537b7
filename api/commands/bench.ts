import { spawnSync } from "node:child_process";
import { type Command, InvalidArgumentError, Option, Command as Subcommand } from "commander";
import { batchBench } from "../../bench/batch.ts";
import type { Row } from "../../bench/decode.ts";
import { decodeBench } from "../../bench/decode.ts";
import { type LoadFigures, loadBench } from "../../bench/load.ts";
import { retrievalBench } from "../../bench/retrieve.ts";
import { servingBench } from "../../bench/serving.ts";
import type { Model } from "../../engine/model.ts";
import { defaultModelFolder, openModelFolder } from "../../engine/platform/node/files.ts";
import type { RetrievalMode } from "../../engine/retrieval/resonance.ts";
import { type WeightFormat, weightFormats } from "../../kernels/matrix.ts";
import { resolveModel } from "../../weights/hub/model.ts";
import { createLogger } from "../log.ts";
import { jsonOption, type ModelFlags, numberIn, openGpu, openModel, withModel } from "../options.ts";
import { listen } from "../server.ts";
import { Service } from "../service.ts";
import { type Settings, withSettings } from "../settings.ts";
import { Progress, print, printJson, table } from "../terminal.ts";

interface Flags extends ModelFlags {
  readonly quick?: boolean;
  readonly load?: boolean;
  readonly streams?: readonly number[];
  readonly retrieval?: RetrievalMode;
  readonly formats?: readonly WeightFormat[];
  readonly prompt: number;
  readonly tokens: number;
  readonly json?: boolean;
}

/** `resonant bench`. */
export function benchCommand(): Command {
  return withModel(new Subcommand("bench").description("Measure decoding and prompts on this machine."))
    .option("--quick", "fewer and shorter rounds")
    .addOption(
      new Option(
        "--retrieval [mode]",
        "measure a search for a needle in 8,192 and in 1,048,576 tokens instead",
      )
        .choices(["pvm", "plm", "hybrid"])
        .preset("hybrid"),
    )
    .addOption(
      new Option(
        "--streams [counts]",
        "measure decoding of so many streams at once, 1,4 …, and what a server's clients wait for, instead",
      )
        .argParser(readCounts)
        .preset("1,4,16,32"),
    )
    .option("--load", "measure loading, its memory, and one short run instead")
    .addOption(
      new Option("--formats <formats>", "with --load: weight formats, f32,f16 …").argParser(readFormats),
    )
    .option("--prompt <n>", "with --load: tokens of the prompt", numberIn(2, 65536, true), 32)
    .option("--tokens <n>", "with --load: tokens decoded", numberIn(1, 65536, true), 8)
    .addOption(jsonOption())
    .action((flags: Flags) => (flags.load ? benchLoad(flags) : benchRun(flags)));
}

function readFormats(text: string): WeightFormat[] {
  return text.split(",").map((name) => {
    const format = weightFormats.find((each) => each === name);
    if (format) return format;
    throw new InvalidArgumentError(`They must be of ${weightFormats.join(", ")}.`);
  });
}

function readCounts(text: string): number[] {
  return text.split(",").map(numberIn(1, 256, true));
}

async function benchRun(flags: Flags): Promise<void> {
  const model = await openModel(flags, flags.streams ? { slots: Math.max(3, ...flags.streams) } : {});
  const progress = new Progress("measuring", "timings");
  try {
    const onProgress = (done: number, total: number): void => progress.update(done, total);
    const rows = flags.retrieval
      ? await retrievalBench(model, {
          mode: flags.retrieval,
          ...(flags.quick
            ? { lengths: [8192, 65_536], needle: 48, rounds: 1 }
            : { lengths: [8192, 2 ** 20], needle: 48, rounds: 3 }),
          onProgress,
        })
      : flags.streams
        ? [
            ...(await batchBench(model, {
              streams: flags.streams,
              ...(flags.quick ? { tokens: 16, rounds: 1 } : { tokens: 128, rounds: 3 }),
              onProgress,
            })),
            ...(await benchServing(model, flags, onProgress)),
          ]
        : await decodeBench(model, {
            ...(flags.quick
              ? { tokens: 32, prompt: 256, rounds: 1 }
              : { tokens: 128, prompt: 2048, rounds: 3 }),
            onProgress,
          });
    progress.stop();
    const about = { adapter: model.gpu.name, model: model.name, format: model.format };
    if (flags.json) return await printJson({ ...about, date: new Date().toISOString(), rows });
    await print(`${about.model} in ${about.format} on ${about.adapter}\n\n`);
    await print(table(rows.map(({ name, value, unit }) => [name, readable(value), unit])));
  } finally {
    progress.stop();
  }
}

/** Serves the model in this process, and asks it over HTTP. */
async function benchServing(
  model: Model,
  { quick, streams }: Flags,
  onProgress: (done: number, total: number) => void,
): Promise<Row[]> {
  const [longPrompt, sharedPrefix] = quick ? [3000, 1000] : [20_000, 4000];
  const most = Math.max(...(streams ?? []));
  const flags = ["--host=127.0.0.1", "--port=0", "--log-level=silent", "--max-tokens-limit=1000000"];
  const limits = [`--max-batch-size=${most}`, `--max-prompt-chars=${longPrompt + sharedPrefix}`];
  const settings: Settings = withSettings(new Subcommand())
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

/** Four digits; whole numbers whole. */
const readable = (value: number): string =>
  (Number.isInteger(value) ? value : Number(value.toPrecision(4))).toLocaleString("en", {
    maximumFractionDigits: 6,
  });

interface LoadReport {
  readonly adapter: string;
  readonly model: string;
  readonly prompt: number;
  readonly tokens: number;
  readonly date: string;
  readonly rows: readonly LoadFigures[];
}

async function benchLoad(flags: Flags): Promise<void> {
  const formats = flags.formats ?? [flags.format];
  const report = formats.length === 1 ? await loadHere(flags, formats[0] ?? "f32") : loadApart(formats);
  if (flags.json) return printJson(report);
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);
  await print(`${report.model} on ${report.adapter}, ${report.prompt} tokens and then ${report.tokens}\n\n`);
  await print(
    table([
      ["", ...report.rows.map(({ format }) => format)],
      ["load, s", ...report.rows.map(({ seconds }) => seconds.toFixed(2))],
      ["GPU, MB", ...report.rows.map(({ gpuBytes }) => megabytes(gpuBytes))],
      ["peak of the process, MB", ...report.rows.map(({ residentPeak }) => megabytes(residentPeak))],
      ["of which loading's own, MB", ...report.rows.map(({ hostPeak }) => megabytes(hostPeak))],
      ["prompt, tokens/s", ...report.rows.map((row) => row.promptTokensPerSecond.toPrecision(3))],
      ["decode, tokens/s", ...report.rows.map((row) => row.decodeTokensPerSecond.toPrecision(3))],
    ]),
  );
}

async function loadHere(flags: Flags, format: WeightFormat): Promise<LoadReport> {
  const { prompt, tokens, model, checkpoint } = flags;
  const folder = model === undefined ? await defaultModelFolder() : await resolveModel(model);
  const { gpu, name: adapter } = await openGpu(flags);
  const files = await openModelFolder(folder, checkpoint);
  const progress = new Progress("reading the model", "tensors");
  try {
    const row = await loadBench(gpu, files, {
      format,
      placement: flags.adapterPlacement,
      attention: flags.attention,
      prompt,
      tokens,
      onProgress: (done, total) => progress.update(done, total),
    });
    return {
      adapter,
      model: model ?? files.name,
      prompt,
      tokens,
      date: new Date().toISOString(),
      rows: [row],
    };
  } finally {
    progress.stop();
    await files.close();
    gpu.destroy();
  }
}

/** Each format in a process of its own: memory that was given back is not always seen to be. */
function loadApart(formats: readonly WeightFormat[]): LoadReport {
  const reports = formats.map((format): LoadReport => {
    const args = [...process.argv.slice(1), "--formats", format, "--json"];
    const { status, stdout } = spawnSync(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    if (status !== 0) process.exit(status ?? 1); // it has said why
    return JSON.parse(stdout.toString());
  });
  return { ...reports[0]!, rows: reports.flatMap(({ rows }) => rows) };
}
