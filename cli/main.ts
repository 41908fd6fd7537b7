#!/usr/bin/env node
import { runCommand } from "./program.ts";
import { watchOutput } from "./terminal.ts";

watchOutput();

// Exit explicitly: an open device or a driver's threads could keep the process running.
process.exit(await runCommand(process.argv.slice(2)));
