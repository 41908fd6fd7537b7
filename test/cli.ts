import { spawn } from "node:child_process";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { runCommand } from "../cli/program.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The built command line. */
export const cli = join(root, "dist/cli.js");

/** Warnings about Mesa's lavapipe that Dawn writes directly to the error stream. */
const DAWN_REMARKS = /^Warning: max\w+ artificially reduced .*\n/gm;

/** The exit code and the output of a process. */
export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface RunOptions {
  /** Written to its standard input, which is then closed. */
  readonly input?: string | Iterable<string | Uint8Array>;
  /** Environment variables to set; the machine's own settings are removed. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a program to its end in the project's folder. */
export async function run(
  command: string,
  args: readonly string[],
  { input = [], env: more = {} }: RunOptions = {},
): Promise<Ended> {
  const { DEVICE: _device, MODEL_NAME: _model, ALIGNMENT: _alignment, ...env } = process.env;
  const child = spawn(command, args, { cwd: root, env: { ...env, ...more } });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  const chunks = typeof input === "string" ? [input] : input;
  // A command that refuses its arguments does not read its input.
  await pipeline(Readable.from(chunks, { objectMode: false }), child.stdin).catch(() => undefined);
  const code = await ended;
  const said = Buffer.concat(err).toString().replace(DAWN_REMARKS, "");
  return { code, out: Buffer.concat(out).toString(), err: said };
}

/** Runs `resonant` to its end. @throws Error if it has not been built */
export async function resonant(
  args: readonly string[],
  { node = [], ...options }: RunOptions & { readonly node?: readonly string[] } = {},
): Promise<Ended> {
  await stat(cli);
  return run(process.execPath, [...node, cli, ...args], options);
}

/**
 * What `resonant` says to arguments that it refuses before it reads a text or loads a model, run in this process: starting one
 * takes far longer than such an answer.
 */
export async function refusal(args: readonly string[]): Promise<Ended> {
  const { stdout, stderr, env, exitCode } = process;
  const said = { out: "", err: "" };
  const listen = (stream: NodeJS.WriteStream, name: "out" | "err") => {
    const { write } = stream;
    stream.write = (text: string | Uint8Array, ...more: unknown[]): boolean => {
      said[name] += typeof text === "string" ? text : Buffer.from(text).toString();
      const written = more.at(-1);
      if (typeof written === "function") written();
      return true;
    };
    return () => {
      stream.write = write;
    };
  };
  const restore = [listen(stdout, "out"), listen(stderr, "err")];
  const { DEVICE: _device, MODEL_NAME: _model, ALIGNMENT: _alignment, ...own } = env;
  process.env = own;
  try {
    const code = await runCommand(args);
    return { code, ...said };
  } finally {
    process.env = env;
    process.exitCode = exitCode;
    for (const undo of restore) undo();
  }
}
