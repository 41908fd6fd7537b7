import { SingleBar } from "cli-progress";
import { type Command, Option, Command as Subcommand } from "commander";
import {
  type MeasuresAsked,
  measureRetrieval,
  measures,
  type RetrievalMeasures,
  retrieveAnswer,
} from "../../api/retrieve-response.ts";
import { fileChunks, streamChunks, type TextChunks } from "../../api/text-chunks.ts";
import { ResonantError } from "../../common/errors.ts";
import type { Model } from "../../engine/platform/node/index.ts";
import {
  type Match,
  type Retrieval,
  type RetrievalMode,
  retrieve,
  type TextSource,
} from "../../engine/retrieval/retrieval.ts";
import { jsonOption, type ModelFlags, numberIn, openModel, withModel } from "../options.ts";
import { Progress, print, printJson, printStyled, type Styled, table } from "../terminal.ts";

interface Flags extends ModelFlags {
  readonly file?: string;
  readonly context?: string;
  readonly query?: string;
  readonly mode?: RetrievalMode;
  readonly topK: number;
  readonly phaseMetrics?: boolean;
  readonly memoryStats?: boolean;
  readonly json?: boolean;
}

/** UTF-16 units that are shown before and after a match, and the most that are shown of the match itself. */
const AROUND = 40;
const LONGEST = 200;
/** A match with a lower confidence is more likely background than a real match. */
const LIKELY = 0.5;

/** `resonant retrieve`. */
export function retrieveCommand(): Command {
  return withModel(new Subcommand("retrieve").description("Find a needle in a text of any length."))
    .argument("<needle>", "text to find")
    .addOption(new Option("-f, --file <file>", "UTF-8 text to search (default: standard input)"))
    .addOption(new Option("--context <text>", "text to search").conflicts("file"))
    .addOption(new Option("--query <text>", "text to search for instead of the needle"))
    .addOption(
      new Option(
        "--mode <mode>",
        "memory to compare: vector (pvm), lattice (plm) or both (default: pvm if the model has it)",
      ).choices(["pvm", "plm", "hybrid"]),
    )
    .addOption(
      new Option("--top-k <k>", "maximum number of matches, 1 to 100")
        .argParser(numberIn(1, 100, true))
        .default(5),
    )
    .addOption(
      new Option(
        "--phase-metrics",
        "print phase metrics of the memory that reads the text; needs 4 bytes per token",
      ),
    )
    .addOption(
      new Option(
        "--memory-stats",
        "print statistics of the memories that read the text; needs 4 bytes per token",
      ),
    )
    .addOption(jsonOption())
    .action(run);
}

async function run(needle: string, flags: Flags): Promise<void> {
  const { query, topK, json } = flags;
  expectText(needle, "needle");
  expectText(query, "--query");
  const context = await openContext(flags);
  const model = await openModel(flags, { slots: 1 });
  const mode = flags.mode ?? defaultMode(model);
  const asked: MeasuresAsked = {
    return_phase_metrics: flags.phaseMetrics ?? false,
    return_memory_stats: flags.memoryStats ?? false,
  };
  const abort = new AbortController();
  process.once("SIGINT", () => abort.abort());
  const { signal } = abort;
  const measuring = new Progress("measuring", "tokens");
  const progress = searching(typeof context === "string" ? undefined : context);
  const start = performance.now();
  try {
    const found = await retrieve(model, {
      context,
      needle,
      query,
      mode,
      topK,
      around: json ? 0 : AROUND,
      keepTokens: measures(asked),
      signal,
      onProgress: (_, characters) => progress.update(characters),
    });
    progress.stop();
    const searched = performance.now() - start;
    const measured = await measureRetrieval(model, asked, found, {
      mode,
      signal,
      onProgress: (done, total) => measuring.update(done, total),
    });
    measuring.stop();
    if (!json) return await report(model, found, searched, measured);
    const shape = { needle, retrieval_mode: mode, return_positions: true, return_similarity_scores: true };
    await printJson(retrieveAnswer(shape, found.matches, measured, performance.now() - start));
  } catch (error) {
    if (!abort.signal.aborted) throw error;
    process.exitCode = 130;
  } finally {
    progress.stop();
    measuring.stop();
  }
}

function expectText(text: string | undefined, where: string): void {
  if (text === "") throw new ResonantError("invalid_argument", "it is empty", { where });
}

async function openContext({ file, context }: Flags): Promise<string | (TextSource & TextChunks)> {
  expectText(context, "--context");
  if (context !== undefined) return context;
  if (file !== undefined) return fileChunks(file, `--file ${file}`);
  if (!process.stdin.isTTY) return streamChunks(process.stdin, "standard input");
  throw new ResonantError("invalid_argument", "there is none", {
    where: "context",
    fix: "Name a --file, give a --context, or send a text to standard input",
  });
}

/** Returns the default mode. For a model without a memory it is `pvm`, which the model then refuses. */
const defaultMode = (model: Model): RetrievalMode => model.facts.retrievalModes[0] ?? "pvm";

/** Shows a progress bar if the length of the text is known, else a count of characters. */
function searching(
  chunks: TextChunks | undefined,
): Pick<Progress, "stop"> & { update(characters: number): void } {
  const total = chunks?.total;
  if (chunks && total !== undefined) {
    const bar = new Progress("searching", "bytes");
    return { update: () => bar.update(chunks.read, total), stop: () => bar.stop() };
  }
  const format = "searching: {value} characters in {duration_formatted}";
  const options = { format, stream: process.stderr, clearOnComplete: true, hideCursor: true };
  const count = process.stderr.isTTY ? new SingleBar(options) : undefined;
  return {
    update: (characters) => {
      if (count && !count.isActive) count.start(Number.POSITIVE_INFINITY, characters);
      else count?.update(characters);
    },
    stop: () => count?.stop(),
  };
}

async function report(
  model: Model,
  { matches, tokens }: Retrieval,
  milliseconds: number,
  measured: RetrievalMeasures,
): Promise<void> {
  const lines = table([
    ["", "similarity", "confidence", "position", "line"],
    ...matches.map(({ similarity, confidence, position, surroundings }, i) => [
      `${i + 1}`,
      similarity.toFixed(4),
      confidence.toFixed(3),
      `${position}`,
      `${surroundings!.line}`,
    ]),
  ]).split("\n");
  const shown = matches.flatMap((match, i) => [`${lines[i + 1]}\n   `, ...excerpt(match), "\n"]);
  await printStyled(`${lines[0]}\n`, ...shown);
  const best = matches[0]!.confidence;
  if (best < LIKELY) {
    await print(`probably no match: the best one has a confidence of ${best.toFixed(3)}\n`);
  }
  const speed = (1000 * tokens) / milliseconds;
  await print(`${tokens} tokens searched, ${speed.toFixed(0)} a second, ${model.gpu.name}\n`);
  const { phase_metrics, memory_stats } = measured;
  const { curvature, ...phases } = phase_metrics ?? {};
  const groups: readonly Figures[] = [{ ...phases }, { ...curvature }, { ...memory_stats }];
  for (const group of groups) {
    const rows = Object.entries(group).map(([name, value]) => [name, figure(value)]);
    if (rows.length > 0) await print(`\n${table(rows)}`);
  }
}

/** Figures by their names in the JSON answer. */
type Figures = Readonly<Record<string, number | null>>;

function figure(value: number | null): string {
  if (value === null) return "none";
  if (Number.isInteger(value)) return `${value}`;
  return Math.abs(value) < 1000 ? value.toPrecision(4) : value.toFixed(0);
}

/** Returns the match and the text around it as one line. */
function excerpt({ text, start, surroundings }: Match): Styled[] {
  const { before, after } = surroundings!;
  const half = LONGEST / 2;
  const short = text.length > LONGEST ? `${text.slice(0, half)} … ${text.slice(-half)}` : text;
  const match = oneLine(short);
  return [
    before.length < start ? "…" : "",
    oneLine(before),
    process.stdout.isTTY ? { style: "bold", text: match } : `[${match}]`,
    oneLine(after),
    after.length < AROUND ? "" : "…",
  ];
}

/** Line breaks become visible: `printStyled` does the same with what could control a terminal. */
const oneLine = (text: string): string => text.replace(/\r?\n/g, "⏎").replace(/\t/g, " ");
