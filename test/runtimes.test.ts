import { spawnSync } from "node:child_process";
import { beforeAll, describe, expect, it } from "vitest";
import { cli, type Ended, resonant, run } from "./cli.ts";
import { testGpu } from "./gpu.ts";
import { findProgram } from "./processes.ts";

const COMMAND = ["generate", "ROMEO:", "-n", "20", "--seed", "1", "--json"];
/** Hides the system's drivers, so that SwiftShader is fetched. */
const NO_DRIVERS = { VK_DRIVER_FILES: "/nonexistent.json", VK_ICD_FILENAMES: "/nonexistent.json" };

interface Runtime {
  readonly name: string;
  /** Empty if it is not there. */
  readonly program: string;
  readonly args: readonly string[];
  /** Why its tests are skipped, for their names. */
  readonly lacking: string;
}

/** A runtime named by its variable, else from the PATH. One that is named must run. */
function runtime(name: string, variable: string, args: readonly string[]): Runtime {
  const named = process.env[variable];
  const program = named || findProgram(name) || "";
  if (program === "") {
    return { name, program, args, lacking: ` (skipped: ${variable} names none, and the PATH has none)` };
  }
  const { status } = spawnSync(program, ["--version"]);
  if (status !== 0) throw new Error(`${program} does not run${named ? ` (${variable})` : ""}`);
  return { name, program, args, lacking: "" };
}

const bun = runtime("bun", "RESONANT_BUN", []);
const deno = runtime("deno", "RESONANT_DENO", ["run", "-A"]);
const inRuntime = ({ program, args }: Runtime, env: Record<string, string> = {}): Promise<Ended> =>
  run(program, [...args, cli, ...COMMAND], { env });
const textOf = ({ code, out, err }: Ended): string => {
  expect(err).toBe("");
  expect(code).toBe(0);
  return (JSON.parse(out) as { text: string }).text;
};

let text: string;
/** What Node writes on the fetched driver. */
let nodeText: Promise<string> | undefined;
beforeAll(async () => {
  if (bun.program || deno.program) text = textOf(await resonant(COMMAND));
}, 300_000);

describe.each([bun, deno])("the command line in $name$lacking", (own) => {
  it.skipIf(own.program === "")(
    "writes with a seed what it writes in Node",
    async () => {
      expect(textOf(await inRuntime(own))).toBe(text);
    },
    300_000,
  );

  it.skipIf(own.program === "" || process.platform !== "linux" || process.arch !== "x64")(
    "finds the fetched software driver where the system has none (Linux x64 only)",
    async () => {
      const { code, out, err } = await inRuntime(own, NO_DRIVERS);
      expect([code, err]).toEqual([0, expect.not.stringMatching(/^error/m)]);
      nodeText ??= resonant(COMMAND, { env: NO_DRIVERS }).then((node) => JSON.parse(node.out).text);
      expect(JSON.parse(out)).toMatchObject({ text: await nodeText });
    },
    300_000,
  );
});

describe(`a Deno that may not load addons${deno.lacking}`, () => {
  it.skipIf(deno.program === "")(
    "uses its own WebGPU, or says which right it needs for more",
    async () => {
      const args = ["run", "--allow-read", "--allow-write", "--allow-env", "--allow-sys"];
      const ended = await inRuntime({ ...deno, args });
      if (ended.code !== 0) expect(ended.err).toMatch(/own WebGPU finds no adapter.*--allow-ffi/);
      else if ((await testGpu()).kind === "software") expect(textOf(ended)).toBe(text);
      else expect(JSON.parse(ended.out)).toMatchObject({ text: expect.stringMatching(/./) });
    },
    300_000,
  );
});
