import { Argument, type Command, Command as Subcommand } from "commander";
import { type GeometryName, geometries, writeRandomModel } from "../../bench/random-model.ts";
import { jsonOption, numberIn } from "../options.ts";
import { print, printJson } from "../terminal.ts";

interface Flags {
  readonly adapters: number;
  readonly seed: number;
  readonly json?: boolean;
}

/** `resonant random-model`. */
export function randomModelCommand(): Command {
  return new Subcommand("random-model")
    .description("Write a model with random weights, for measurements and experiments.")
    .addArgument(
      new Argument("<geometry>", "known model whose sizes are used").choices(Object.keys(geometries)),
    )
    .argument("<folder>", "folder to write to")
    .option(
      "--adapters <n>",
      "number of adapters to write to adapters.safetensors in the same folder",
      numberIn(0, 1000, true),
      0,
    )
    .option("--seed <n>", "seed of the weights", numberIn(0, 2 ** 32 - 1, true), 1)
    .addOption(jsonOption())
    .action(async (geometry: GeometryName, folder: string, { adapters, seed, json }: Flags) => {
      const { parameters, bytes } = await writeRandomModel(folder, geometries[geometry], { seed, adapters });
      if (json) return printJson({ geometry, folder, parameters, adapters, bytes });
      await print(
        `${folder}: ${parameters.toLocaleString("en")} parameters as ${geometry}, ${bytes} bytes\n`,
      );
    });
}
