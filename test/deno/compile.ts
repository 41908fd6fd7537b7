// In Deno, whose WebGPU is wgpu: compiles the kernels of a file, and prints a `Compiled`.
import { readFile } from "node:fs/promises";
import { argv } from "node:process";

/** A kernel, and the sets of overrides to make pipelines with. */
export interface ToCompile {
  readonly name: string;
  readonly code: string;
  readonly sets: readonly Readonly<Record<string, number>>[];
}

export interface Compiled {
  /** The adapter; null: there is none. */
  readonly adapter: string | null;
  readonly modules: number;
  readonly pipelines: number;
  /** Names of kernels that need a feature which the adapter does not have. */
  readonly needMore: readonly string[];
  readonly errors: readonly string[];
}

async function compile(adapter: GPUAdapter, kernels: readonly ToCompile[]): Promise<Compiled> {
  const subgroups = adapter.features.has("subgroups");
  // On default limits: what they allow, every device allows.
  const device = await adapter.requestDevice(subgroups ? { requiredFeatures: ["subgroups"] } : {});
  let [modules, pipelines] = [0, 0];
  const needMore: string[] = [];
  const errors: string[] = [];
  const errorOf = async (make: () => unknown): Promise<boolean> => {
    device.pushErrorScope("validation");
    make();
    const error = await device.popErrorScope();
    if (error) errors.push(error.message);
    return error !== null;
  };
  for (const { name: label, code, sets } of kernels) {
    if (code.startsWith("enable subgroups;") && !subgroups) {
      needMore.push(label);
      continue;
    }
    let module: GPUShaderModule | undefined;
    modules++;
    const failed = await errorOf(() => {
      module = device.createShaderModule({ label, code });
    });
    if (failed || !module) continue;
    for (const constants of sets) {
      const compute = { module, entryPoint: "main", constants };
      pipelines++;
      await errorOf(() => device.createComputePipeline({ label, layout: "auto", compute }));
    }
  }
  return { adapter: adapter.info.description, modules, pipelines, needMore, errors };
}

const adapter = await navigator.gpu.requestAdapter();
const kernels: ToCompile[] = JSON.parse(await readFile(argv[2]!, "utf8"));
const nothing: Compiled = { adapter: null, modules: 0, pipelines: 0, needMore: [], errors: [] };
console.log(JSON.stringify(adapter ? await compile(adapter, kernels) : nothing));
