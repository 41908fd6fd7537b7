import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import { createInterface } from "node:readline";
import type { Settings } from "../api/settings.ts";

/** A signal that asks for the end. A supervisor passes it on as a message to the server that it has started. */
export type StopSignal = "SIGTERM" | "SIGINT";

export const stopSignals: readonly StopSignal[] = ["SIGTERM", "SIGINT"];

/** Runs this command again under Node's watcher, which restarts it when a loaded file changes. */
export async function superviseReloads(): Promise<void> {
  const [program, ...flags] = process.argv.slice(1).filter((argument) => argument !== "--reload");
  const watch = ["--watch", "--watch-preserve-output", program!, ...flags];
  const child = start(watch, "inherit", false);
  await exitWith(child, "exit", (signal) => child.kill(signal));
}

/**
 * Runs this command again, and turns every line of its error stream that is not JSON into JSON. Such lines come from outside
 * of JavaScript: Dawn, Vulkan's drivers and Node itself write them, and no setting of theirs says where to.
 */
export async function superviseLog({ logLevel }: Pick<Settings, "logLevel">): Promise<void> {
  const flags = [...process.execArgv, ...process.argv.slice(1), "--supervised"];
  // A process group of its own: a terminal's Ctrl-C reaches this process alone, which passes it on once.
  const child = start(flags, ["inherit", "inherit", "pipe", "ipc"], true);
  createInterface({ input: child.stderr! }).on("line", (line) => {
    const entry = asEntry(line, logLevel);
    if (entry !== undefined) process.stderr.write(`${entry}\n`);
  });
  await exitWith(child, "close", (signal) => child.connected && child.send(signal));
}

const start = (args: readonly string[], stdio: StdioOptions, detached: boolean): ChildProcess =>
  spawn(process.execPath, args, { stdio, detached });

/** Ends as the child ends, and passes on the signals that ask for it. */
async function exitWith(
  child: ChildProcess,
  event: "exit" | "close",
  pass: (signal: StopSignal) => void,
): Promise<void> {
  for (const signal of stopSignals) process.on(signal, () => pass(signal));
  const [code, signal] = (await once(child, event)) as [number | null, NodeJS.Signals | null];
  process.exitCode = code ?? 128 + (signal ? constants.signals[signal] : 0);
}

/** Dawn's remarks about limits that no kernel here comes near. */
const HARMLESS = /^Warning: max\w+ artificially reduced /;

/**
 * Returns a line of the error stream as a line of the JSON log: what is JSON as it is, other text as a message; undefined for
 * an empty line, and for a harmless remark where `logLevel` is not `debug`.
 */
export function asEntry(line: string, logLevel: Settings["logLevel"]): string | undefined {
  if (line.trim() === "") return undefined;
  if (isObject(line)) return line;
  const harmless = HARMLESS.test(line);
  if (harmless && logLevel !== "debug") return undefined;
  const level = harmless ? 20 : /\b(error|fatal)\b/i.test(line) ? 50 : /^warning\b/i.test(line) ? 40 : 30;
  return JSON.stringify({ level, time: new Date().toISOString(), source: "stderr", msg: line });
}

function isObject(line: string): boolean {
  if (!line.startsWith("{")) return false;
  try {
    return typeof JSON.parse(line) === "object";
  } catch {
    return false;
  }
}
