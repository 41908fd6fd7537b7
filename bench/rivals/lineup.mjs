import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { findChromium } from "./chromium.mjs";
import { startEngine, startInNode } from "./processes.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, "../..");
const url = (...parts) => pathToFileURL(join(...parts)).href;
const OURS = ["f32", "f16", "q4"];
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/**
 * Returns every engine with its formats; `open(format)` opens it, or throws an Error with the reason why that is impossible.
 * @param at.model folder of the model as safetensors
 * @param at.onnx folder that holds the model as ONNX once `exported` resolves
 * @param at.chromium the result of `openChromium`, or `{ failure }`
 */
export function lineup({ model, onnx, exported, packages, chromium, executable, python }) {
  const inPage = async (module, opening) => {
    if (chromium.failure) throw new Error(chromium.failure);
    return chromium.open(`/engines/${module}`, opening);
  };
  const inNode = async (module, opening) =>
    startInNode(module, opening, chromium, executable ?? findChromium());
  const installed = (name) => {
    if (existsSync(join(packages, name))) return;
    throw new Error(`${name} is not installed: npm install --prefix bench/rivals --ignore-scripts`);
  };
  const transformersJs = "@huggingface/transformers";
  const inPython = (device, ...flags) => ({
    engine: `PyTorch ${flags.length > 0 ? "compiled" : "eager"}`,
    where: device.toUpperCase(),
    formats: device === "cpu" ? ["f32"] : ["f32", "f16"],
    open: (format) => {
      const args = [model, "--serve", "--device", device, "--format", format, ...flags];
      return startEngine(python, [join(here, "pytorch.py"), ...args]).catch((error) => {
        if (error.code !== "ENOENT") throw error;
        throw new Error(`there is no ${python}: name a Python with --python`);
      });
    },
  });
  return [
    {
      engine: "Resonant",
      where: "Chromium",
      formats: OURS,
      open: (format) =>
        inPage("resonant.mjs", {
          library: "/page/resonant.js",
          model: `${chromium.origin}/model/`,
          format,
          version,
        }),
    },
    {
      engine: "transformers.js",
      where: "Chromium",
      formats: ["f32", "f16", "q4", "q4f16"],
      async open(format) {
        installed(transformersJs);
        await exported;
        return inPage("transformers-js.mjs", {
          library: `/rivals/${transformersJs}/dist/transformers.min.js`,
          wasm: `${chromium.origin}/rivals/onnxruntime-web/dist/`,
          onnx: "/onnx/",
          format,
        });
      },
    },
    {
      engine: "Resonant",
      where: "Node",
      formats: OURS,
      open: (format) =>
        inNode("resonant.mjs", { library: url(root, "dist/node.js"), model, format, version }),
    },
    {
      engine: "transformers.js",
      where: "Node",
      formats: ["f32", "f16", "q4", "q4f16"],
      async open(format) {
        installed(transformersJs);
        await exported;
        const library = url(packages, transformersJs, "dist/transformers.node.mjs");
        return inNode("transformers-js.mjs", { library, onnx, format });
      },
    },
    {
      engine: "doppler-gpu",
      where: "Node",
      formats: ["f32"],
      async open() {
        installed("doppler-gpu");
        return inNode("doppler.mjs", { library: url(packages, "doppler-gpu/src/index.js"), model });
      },
    },
    inPython("cpu"),
    inPython("cuda"),
    inPython("cuda", "--compiled"),
  ];
}
