import { Command, CommanderError } from "commander";
import packageJson from "../package.json" with { type: "json" };
import { fail } from "./terminal.ts";

/** The commands in the order of the help. Each is loaded only when needed: `serve` does not load the benchmarks. */
const commands = new Map<string, () => Promise<Command>>([
  ["generate", async () => (await import("./commands/generate.ts")).generateCommand()],
  ["retrieve", async () => (await import("./commands/retrieve.ts")).retrieveCommand()],
  ["serve", async () => (await import("./commands/serve.ts")).serveCommand()],
  ["info", async () => (await import("./commands/info.ts")).infoCommand()],
  ["eval", async () => (await import("./commands/eval.ts")).evalCommand()],
  ["goldens", async () => (await import("./commands/goldens.ts")).goldensCommand()],
  ["devices", async () => (await import("./commands/devices.ts")).devicesCommand()],
  ["tune", async () => (await import("./commands/tune.ts")).tuneCommand()],
  ["convert", async () => (await import("./commands/convert.ts")).convertCommand()],
  ["bench", async () => (await import("./commands/bench.ts")).benchCommand()],
  ["calibrate", async () => (await import("./commands/calibrate.ts")).calibrateCommand()],
  ["random-model", async () => (await import("./commands/random-model.ts")).randomModelCommand()],
]);

/** Creates `resonant` with the command called `name`; with all commands if there is none, for help and errors. */
async function createProgram(name: string | undefined): Promise<Command> {
  const program = new Command("resonant")
    .description("Resonant language models on WebGPU: oscillators and phase memories instead of attention.")
    .version(packageJson.version)
    .exitOverride()
    .enablePositionalOptions() // needed by `eval`, which has a command of its own
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError("(use --help to list the arguments)");
  const named = commands.get(name ?? "");
  for (const load of named ? [named] : commands.values()) {
    program.addCommand((await load()).exitOverride());
  }
  return program;
}

/**
 * Runs the command that `args` name, and prints its error if it fails.
 * @param args the words after `resonant` on the command line
 * @returns the exit status: 0, or 2 for wrong arguments, or 1 for any other failure
 */
export async function runCommand(args: readonly string[]): Promise<number> {
  let command: Command | undefined;
  try {
    const program = await createProgram(args[0]);
    program.hook("preAction", (_, running) => {
      command = running;
    });
    await program.parseAsync(args, { from: "user" });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    // Commander has already printed its message. Its exit code is 0 for help and version, else the arguments are wrong.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    return fail(error, command);
  }
}
