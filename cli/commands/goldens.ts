import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { type Command, Command as Subcommand } from "commander";
import { ResonantError } from "../../common/errors.ts";
import type { Gpu } from "../../engine/device/gpu.ts";
import { checkGolden, type GoldenResult } from "../../engine/goldens.ts";
import { openFile } from "../../weights/node/file.ts";
import { startThread } from "../../weights/node/threads.ts";
import { openTensorFile } from "../../weights/open.ts";
import { type DeviceFlags, deviceOption, jsonOption, openGpu } from "../options.ts";
import { print, printJson } from "../terminal.ts";

const TOLERANCE = 1e-5;

type Outcome = { readonly file: string } & (
  | GoldenResult
  | { readonly refused: string }
  | { readonly error: string }
);

/** `resonant goldens`. */
export function goldensCommand(): Command {
  return new Subcommand("goldens")
    .description(`Check the kernels against golden files: ‖out − ref‖ / ‖ref‖ must be at most ${TOLERANCE}.`)
    .argument("<folder>", "folder with afrb_*.safetensors and native_*.safetensors")
    .addOption(deviceOption())
    .addOption(jsonOption())
    .action(async (folder: string, flags: DeviceFlags & { json?: boolean }) => {
      const files = await listGoldens(folder);
      const { gpu, name } = await openGpu(flags);
      const width = Math.max(...files.map((file) => file.length));
      if (!flags.json) await print(`${"".padEnd(width)}  one pass   by token   on ${name}\n`);
      const outcomes: Outcome[] = [];
      for (const file of files) {
        const outcome = await check(gpu, folder, file);
        outcomes.push(outcome);
        if (!flags.json) await print(`${file.padEnd(width)}  ${describe(outcome)}\n`);
      }
      const failed = outcomes.filter((outcome) => !passes(outcome)).length;
      if (flags.json) await printJson({ adapter: name, tolerance: TOLERANCE, failed, files: outcomes });
      else await print(`${files.length - failed} of ${files.length} passed\n`);
      if (failed > 0) process.exitCode = 1;
    });
}

async function listGoldens(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((cause: Error) => {
    throw new ResonantError("invalid_argument", `it cannot be read (${cause.message})`, {
      where: folder,
      cause,
    });
  });
  const files = names.filter((name) => /^(afrb|native)_.*\.safetensors$/.test(name)).sort();
  if (files.length === 0) {
    throw new ResonantError("invalid_argument", "it holds no afrb_*.safetensors or native_*.safetensors", {
      where: folder,
    });
  }
  return files;
}

async function check(gpu: Gpu, folder: string, file: string): Promise<Outcome> {
  try {
    const source = await openFile(join(folder, file));
    try {
      const kind = file.startsWith("afrb") ? "afrb" : "native";
      return { file, ...(await checkGolden(gpu, await openTensorFile(source, startThread), kind)) };
    } finally {
      await source.close();
    }
  } catch (error) {
    if (!(error instanceof ResonantError)) throw error;
    return error.code === "unsupported" ? { file, refused: error.message } : { file, error: error.message };
  }
}

const passes = (outcome: Outcome): boolean =>
  "refused" in outcome || ("pass" in outcome && outcome.pass <= TOLERANCE && outcome.step <= TOLERANCE);

function describe(outcome: Outcome): string {
  if ("refused" in outcome) return `refused: ${outcome.refused}`;
  if ("error" in outcome) return `error: ${outcome.error}`;
  const figures = `${outcome.pass.toExponential(2).padEnd(9)}  ${outcome.step.toExponential(2).padEnd(9)}`;
  return passes(outcome) ? figures : `${figures}  above ${TOLERANCE}`;
}
