import { readFile } from "node:fs/promises";
import { Gpu } from "../engine/device/gpu.ts";
import { collect, type GenerateOptions } from "../engine/generate.ts";
import { Model } from "../engine/model.ts";
import { requestAdapter } from "../engine/platform/node/device.ts";
import { openModelFolder } from "../engine/platform/node/files.ts";

// A separate process: `resume-worker MODEL STATE OPTIONS` continues a saved state and prints the result as JSON.
const [folder = "", state = "", options = "{}"] = process.argv.slice(2);
const files = await openModelFolder(folder);
const gpu = await Gpu.open(await requestAdapter());
const model = await Model.load(gpu, files, { slots: 1 });
await files.close();
const stream = await model.restore(new Uint8Array(await readFile(state)), state);
const { text, tokens, reason } = await collect(
  model.generate("", { ...(JSON.parse(options) as GenerateOptions), stream }),
);
process.stdout.write(JSON.stringify({ pid: process.pid, text, tokens, reason }));
gpu.destroy();
