import { readFile } from "node:fs/promises";
import { Gpu } from "../engine/device/gpu.ts";
import { collect, type GenerateOptions } from "../engine/generate.ts";
import { Model } from "../engine/model.ts";
import { requestAdapter } from "../engine/platform/node/device.ts";
import { openModelFolder } from "../engine/platform/node/files.ts";

// A separate process: `resume-worker MODEL [STATE OPTIONS]…` continues saved states and prints the results as JSON.
const [folder = "", ...work] = process.argv.slice(2);
const files = await openModelFolder(folder);
const gpu = await Gpu.open(await requestAdapter());
const model = await Model.load(gpu, files, { slots: 1 });
await files.close();
const results: unknown[] = [];
for (let at = 0; at < work.length; at += 2) {
  const [state = "", options = "{}"] = work.slice(at);
  const stream = await model.restore(new Uint8Array(await readFile(state)), state);
  const { text, tokens, reason } = await collect(
    model.generate("", { ...(JSON.parse(options) as GenerateOptions), stream }),
  );
  stream.close();
  results.push({ text, tokens, reason });
}
process.stdout.write(JSON.stringify({ pid: process.pid, results }));
gpu.destroy();
