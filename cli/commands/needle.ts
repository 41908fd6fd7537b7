import { open, stat, writeFile } from "node:fs/promises";
import { type Command, InvalidArgumentError, Option, Command as Subcommand } from "commander";
import { defaultTrials, needleBenchmark } from "../../bench/needle/benchmark.ts";
import { type DamageName, damageNames } from "../../bench/needle/damage.ts";
import {
  type Codec,
  type NeedleSize,
  needleSize,
  randomTokens,
  textTokens,
} from "../../bench/needle/data.ts";
import { needlePlot } from "../../bench/needle/plot.ts";
import { LEGEND, needleJson, needleTables } from "../../bench/needle/report.ts";
import { resonantSearchers } from "../../bench/needle/resonant.ts";
import { loadRivals, textStrings, tokenStrings } from "../../bench/needle/rivals.ts";
import type { Model } from "../../engine/model.ts";
import type { RetrievalMode } from "../../engine/retrieval/retrieval.ts";
import { cannotWrite } from "../../weights/node/file.ts";
import { jsonOption, type ModelFlags, numberIn, openModel, withModel } from "../options.ts";
import { readText } from "../read-text.ts";
import { Progress, print, printJson, table } from "../terminal.ts";

interface Flags extends ModelFlags {
  readonly text?: string;
  readonly lengths: readonly number[];
  readonly trials?: number;
  readonly modes: readonly RetrievalMode[];
  readonly needle: readonly NeedleSize[];
  readonly damage: readonly DamageName[];
  readonly reference?: boolean;
  readonly rivals: boolean;
  readonly seed: number;
  readonly plot?: string;
  readonly json?: boolean;
}

const MODES: readonly RetrievalMode[] = ["pvm", "plm", "hybrid"];

/** `resonant eval needle`. */
export function needleCommand(): Command {
  return withModel(
    new Subcommand("needle").description(
      "Measure retrieval of intact, damaged and absent needles in random tokens and in text, " +
        "compared with exact search, BM25 and an edit distance.",
    ),
  )
    .option("--text <file>", "UTF-8 text for additional haystacks of text; it is repeated if too short")
    .addOption(
      list("--lengths", "lengths of the contexts in tokens", "512,4096,32768,262144,1048576", readLength),
    )
    .option(
      "--trials <n>",
      `number of needles of each kind (default: ${defaultTrials(0)}; ${defaultTrials(1e6)} from a million tokens)`,
      numberIn(1, 1e6, true),
    )
    .addOption(list("--modes", "memories of the model to test", MODES.join(","), among(MODES)))
    .addOption(list("--needle", "lengths of needles: 16 means tokens, 48b means bytes", "16,48b", readSize))
    .addOption(
      list(
        "--damage",
        "kinds of damage to needles, or none",
        damageNames.join(","),
        among(damageNames),
        true,
      ),
    )
    .option("--reference", "only run the reference's protocol: 16 random tokens among 512")
    .option("--no-rivals", "do not compare with other methods")
    .option("--seed <n>", "seed of the haystacks", numberIn(0, 2 ** 32 - 1, true), 1)
    .option("--plot <file>", "also write a plot of the results, as SVG")
    .addOption(jsonOption())
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  const { seed, trials, modes, plot, reference } = flags;
  const rivals = flags.rivals ? await loadRivals() : () => [];
  const text = flags.text !== undefined && !reference ? await readText(flags.text, "--text") : undefined;
  if (plot !== undefined) await checkWritable(plot);
  const model = await openModel(flags);
  const progress = new Progress("searching", "thousand tokens × needles");
  try {
    const codec = codecOf(model);
    const own = resonantSearchers(model, modes);
    const groups = await needleBenchmark({
      contests: [
        { source: randomTokens(codec), searchers: [...own, ...rivals(tokenStrings)] },
        ...(text === undefined
          ? []
          : [{ source: await textTokens(text, codec), searchers: [...own, ...rivals(textStrings(codec))] }]),
      ],
      lengths: reference ? [512] : flags.lengths,
      sizes: reference ? [readSize("16")] : flags.needle,
      damages: flags.damage,
      trials,
      seed,
      onProgress: (done, total) => progress.update(Math.round(done / 1000), Math.ceil(total / 1000)),
    });
    progress.stop();
    const about = { adapter: model.gpu.name, model: model.name, format: model.format };
    const title = `${about.model} in ${about.format} on ${about.adapter}`;
    if (plot !== undefined) {
      const svg = needlePlot(`Needles in haystacks: ${title}`, groups);
      await writeFile(plot, svg).catch((cause) => {
        throw cannotWrite(`--plot ${plot}`, cause);
      });
    }
    if (flags.json) {
      const date = new Date().toISOString();
      return await printJson({ ...about, date, seed, groups: needleJson(groups) });
    }
    await print(`${title}, seed ${seed}\n${LEGEND}`);
    for (const block of needleTables(groups)) await print(`\n${block.title}\n${table(block.table)}`);
  } finally {
    progress.stop();
    model.gpu.destroy();
  }
}

const codecOf = (model: Model): Codec => ({
  vocabulary: Math.min(model.facts.vocabulary, model.tokenizer?.size ?? 0),
  encode: (text) => model.encode(text, { special: false }),
  bytes: (token) => model.tokenBytes(token),
});

/** Fails before hours of work rather than after. @throws ResonantError `invalid_argument` if the file cannot be written */
async function checkWritable(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found && !found.isFile() && !found.isDirectory()) return; // a reader of a pipe would take its closing for the end
  try {
    await (await open(path, "a")).close();
  } catch (cause) {
    throw cannotWrite(`--plot ${path}`, cause);
  }
}

/** Creates an option whose value is a list separated by commas. With `orNone`, `none` means an empty list. */
function list<T>(
  flag: string,
  description: string,
  value: string,
  read: (item: string) => T,
  orNone = false,
): Option {
  const parse = (text: string): T[] =>
    orNone && text === "none" ? [] : [...new Set(text.split(","))].map(read);
  return new Option(`${flag} <list>`, description).argParser(parse).default(parse(value), value);
}

const readLength = numberIn(32, 2 ** 28, true);

function readSize(name: string): NeedleSize {
  const size = needleSize(name);
  if (size) return size;
  throw new InvalidArgumentError("Each must be a number of tokens, such as 16, or of bytes, such as 48b.");
}

const among =
  <T extends string>(names: readonly T[]) =>
  (name: string): T => {
    const known = names.find((each) => each === name);
    if (known) return known;
    throw new InvalidArgumentError(`Each must be one of ${names.join(", ")}.`);
  };
