import { type Command, InvalidArgumentError, Option, Command as Subcommand } from "commander";
import { paperTables } from "../../bench/paper/tables.ts";
import { benchCases } from "../../bench/registry.ts";
import { type WeightFormat, weightFormats } from "../../kernels/matrix.ts";
import { jsonOption, numberIn, withModel } from "../options.ts";
import { print } from "../terminal.ts";
import type { BenchFlags } from "./bench/flags.ts";
import { benchLoad, benchOne } from "./bench/modes.ts";
import { benchLines, benchRegistry, listCases } from "./bench/registry.ts";

/** `resonant bench`. */
export function benchCommand(): Command {
  return withModel(
    new Subcommand("bench").description("Check and measure kernels and models on this machine."),
  )
    .argument(
      "[cases...]",
      "cases to run, by parts of the names of groups or cases (see --list); default: all",
    )
    .option("--quick", "run fewer and shorter rounds, with fewer models")
    .option("--list", "list the cases")
    .option("--save [folder]", "write the results as JSON (default: into bench/results)")
    .option("--plot", "also write plots of the results to the same folder, as SVG")
    .option("--compare <file>", "compare the results with those of an earlier --save")
    .option("--from <file>", "use the results of an earlier --save instead of measuring")
    .option("--lines", "print the rows of the named cases as lines of JSON, as soon as they are there")
    .option("--paper", "instead print what a GPU should do, computed from the kernels; needs no device")
    .addOption(
      new Option(
        "--retrieval [mode]",
        "instead measure the search for a needle in 8,192 and 1,048,576 tokens",
      )
        .choices(["pvm", "plm", "hybrid"])
        .preset("hybrid"),
    )
    .addOption(
      new Option(
        "--streams [counts]",
        "instead measure decoding with these numbers of streams (1,4 …), and the latency of a server's clients",
      )
        .argParser(readCounts(256))
        .preset("1,4,16,32"),
    )
    .option("--load", "instead measure loading of --model, its memory, and one short run")
    .addOption(
      new Option("--formats <formats>", "with --load: weight formats to measure (f32,f16 …)").argParser(
        readFormats,
      ),
    )
    .addOption(
      new Option("--prompt <counts>", "with --load: lengths of the prompts in tokens (32,512 …)")
        .argParser(readCounts(65536))
        .default([32], "32"),
    )
    .option("--tokens <n>", "with --load: number of tokens to decode", numberIn(1, 65536, true), 8)
    .option("--rounds <n>", "with --load: number of rounds for each figure", numberIn(1, 1000, true), 1)
    .option(
      "--replay",
      "with --load: check that reading the output again as a prompt gives the same result as decoding it",
      false,
    )
    .addOption(jsonOption())
    .action((cases: string[], flags: BenchFlags) => {
      if (flags.list) return listCases(benchCases(flags.quick ?? false));
      if (flags.paper) return paperTables().then(print);
      if (flags.lines) return benchLines(cases, flags);
      if (flags.load) return benchLoad(flags);
      return flags.streams || flags.retrieval ? benchOne(flags) : benchRegistry(cases, flags);
    });
}

function readFormats(text: string): WeightFormat[] {
  return text.split(",").map((name) => {
    const format = weightFormats.find((each) => each === name);
    if (format) return format;
    throw new InvalidArgumentError(`Each must be one of ${weightFormats.join(", ")}.`);
  });
}

const readCounts =
  (most: number) =>
  (text: string): number[] =>
    text.split(",").map(numberIn(1, most, true));
