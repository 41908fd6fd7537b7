import { Command, CommanderError } from "commander";
import packageJson from "../package.json" with { type: "json" };
import { benchCommand } from "./commands/bench.ts";
import { calibrateCommand } from "./commands/calibrate.ts";
import { convertCommand } from "./commands/convert.ts";
import { devicesCommand } from "./commands/devices.ts";
import { evalCommand } from "./commands/eval.ts";
import { generateCommand } from "./commands/generate.ts";
import { goldensCommand } from "./commands/goldens.ts";
import { infoCommand } from "./commands/info.ts";
import { randomModelCommand } from "./commands/random-model.ts";
import { retrieveCommand } from "./commands/retrieve.ts";
import { serveCommand } from "./commands/serve.ts";
import { tuneCommand } from "./commands/tune.ts";
import { fail } from "./terminal.ts";

/** `resonant` with all its commands. */
function createProgram(): Command {
  const program = new Command("resonant")
    .description("Resonant language models on WebGPU: oscillators and phase memories instead of attention.")
    .version(packageJson.version)
    .exitOverride()
    .enablePositionalOptions() // as `eval` asks for
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError("(run it with --help for its arguments)");
  for (const command of [
    generateCommand(),
    retrieveCommand(),
    serveCommand(),
    infoCommand(),
    evalCommand(),
    goldensCommand(),
    devicesCommand(),
    tuneCommand(),
    convertCommand(),
    benchCommand(),
    calibrateCommand(),
    randomModelCommand(),
  ]) {
    program.addCommand(command.exitOverride());
  }
  return program;
}

/**
 * Runs the command that `args` name.
 * @param args what follows `resonant` on the command line
 * @returns the exit status: 0, 2 for wrong arguments, 1 for every other failure, which has then been printed
 */
export async function runCommand(args: readonly string[]): Promise<number> {
  try {
    await createProgram().parseAsync(args, { from: "user" });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    // Commander has printed its own; its help and version end with 0, its errors are about usage.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    return fail(error);
  }
}
