import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { findProgram } from "../processes.ts";

/** Deno's program: what `RESONANT_DENO` names, else the one on the PATH. */
export const deno = process.env.RESONANT_DENO || findProgram("deno");

/** The reason why tests in Deno cannot run, for their names; empty if they can. */
export const lackingDeno = deno
  ? ""
  : " (skipped: RESONANT_DENO names no Deno, and there is none on the PATH)";

/**
 * Runs a script of this folder in Deno, and returns what it prints, read as JSON.
 * @param cache a folder for what Deno keeps between runs
 */
export async function runInDeno<T>(script: string, args: readonly string[], cache: string): Promise<T> {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const { stdout } = await promisify(execFile)(deno!, ["run", "--allow-all", "--no-lock", path, ...args], {
    env: { ...process.env, DENO_DIR: cache, DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1" },
    maxBuffer: 2 ** 28,
  });
  return JSON.parse(stdout) as T;
}
