import { type Command, InvalidArgumentError, Option, Command as Subcommand } from "commander";
import { benchCases } from "../../bench/registry.ts";
import { type WeightFormat, weightFormats } from "../../kernels/matrix.ts";
import { jsonOption, numberIn, withModel } from "../options.ts";
import type { BenchFlags } from "./bench/flags.ts";
import { benchLoad, benchOne } from "./bench/modes.ts";
import { benchRegistry, listCases } from "./bench/registry.ts";

/** `resonant bench`. */
export function benchCommand(): Command {
  return withModel(
    new Subcommand("bench").description("Check and measure kernels and models on this machine."),
  )
    .argument("[cases...]", "parts of the names of groups or cases (--list); all by default")
    .option("--quick", "fewer and shorter rounds, and fewer models")
    .option("--list", "list the cases")
    .option("--save [folder]", "write the figures as JSON, default into bench/results")
    .option("--plot", "write plots of them there, too, as SVG")
    .option("--compare <file>", "tell how much better they are than those of an earlier --save")
    .option("--from <file>", "measure nothing, and take the figures of an earlier --save")
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
        .argParser(readCounts(256))
        .preset("1,4,16,32"),
    )
    .option("--load", "measure loading --model, its memory, and one short run instead")
    .addOption(
      new Option("--formats <formats>", "with --load: weight formats, f32,f16 …").argParser(readFormats),
    )
    .addOption(
      new Option("--prompt <counts>", "with --load: tokens of the prompts, 32,512 …")
        .argParser(readCounts(65536))
        .default([32], "32"),
    )
    .option("--tokens <n>", "with --load: tokens decoded", numberIn(1, 65536, true), 8)
    .option("--rounds <n>", "with --load: rounds of each figure", numberIn(1, 1000, true), 1)
    .option("--replay", "with --load: check that a prompt goes on as decoding did", false)
    .addOption(jsonOption())
    .action((cases: string[], flags: BenchFlags) => {
      if (flags.list) return listCases(benchCases(flags.quick ?? false));
      if (flags.load) return benchLoad(flags);
      return flags.streams || flags.retrieval ? benchOne(flags) : benchRegistry(cases, flags);
    });
}

function readFormats(text: string): WeightFormat[] {
  return text.split(",").map((name) => {
    const format = weightFormats.find((each) => each === name);
    if (format) return format;
    throw new InvalidArgumentError(`They must be of ${weightFormats.join(", ")}.`);
  });
}

const readCounts =
  (most: number) =>
  (text: string): number[] =>
    text.split(",").map(numberIn(1, most, true));
