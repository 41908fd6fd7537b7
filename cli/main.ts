#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import packageJson from "../package.json" with { type: "json" };
import { adaptersCommand } from "./commands/adapters.ts";
import { benchCommand } from "./commands/bench.ts";
import { calibrateCommand } from "./commands/calibrate.ts";
import { convertCommand } from "./commands/convert.ts";
import { evalCommand } from "./commands/eval.ts";
import { generateCommand } from "./commands/generate.ts";
import { goldensCommand } from "./commands/goldens.ts";
import { infoCommand } from "./commands/info.ts";
import { randomModelCommand } from "./commands/random-model.ts";
import { retrieveCommand } from "./commands/retrieve.ts";
import { serveCommand } from "./commands/serve.ts";
import { tuneCommand } from "./commands/tune.ts";
import { fail } from "./terminal.ts";

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
  adaptersCommand(),
  tuneCommand(),
  convertCommand(),
  benchCommand(),
  calibrateCommand(),
  randomModelCommand(),
]) {
  program.addCommand(command.exitOverride());
}

// A reader that has seen enough, such as `head`, is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  process.exit(error.code === "EPIPE" ? 0 : 1);
});

try {
  await program.parseAsync();
} catch (error) {
  // Commander has printed its own; its help and version end with 0, its errors are about usage.
  process.exit(error instanceof CommanderError ? (error.exitCode === 0 ? 0 : 2) : fail(error));
}
// Not left to the event loop: a device, or a driver's threads, may hold the process longer than anyone wants.
process.exit(process.exitCode ?? 0);
