#!/usr/bin/env node
import { runCommand } from "./program.ts";

// A reader that has seen enough, such as `head`, is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  process.exit(error.code === "EPIPE" ? 0 : 1);
});

// Not left to the event loop: a device, or a driver's threads, may hold the process longer than anyone wants.
process.exit(await runCommand(process.argv.slice(2)));
