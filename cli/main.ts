#!/usr/bin/env node
import { runCommand } from "./program.ts";

// A reader that closes the pipe early, such as `head`, is not an error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  process.exit(error.code === "EPIPE" ? 0 : 1);
});

// Exit explicitly: an open device or a driver's threads could keep the process running.
process.exit(await runCommand(process.argv.slice(2)));
