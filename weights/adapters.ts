import { invalidFile, printable } from "./refuse.ts";
import type { TensorFile } from "./tensor-file.ts";

/** The adapters of a checkpoint in order, and the settings they were built with. */
export interface AdapterCheckpoint {
  /** `model_config`; empty if the file has none. */
  readonly modelConfig: Readonly<Record<string, unknown>>;
  /** One map per adapter: from names within the module, such as `mixer.0.weight`, to the tensors' names in the file. */
  readonly adapters: readonly ReadonlyMap<string, string>[];
  /** The tensors of the file that belong to no adapter. */
  readonly other: readonly string[];
}

/** Prefixes of names: with or without a surrounding state dict, and as DataParallel or torch.compile wraps a module. */
const NAMED =
  /^(?:(?:model_)?state_dict\.)?(?:(?:module|_orig_mod|model)\.)*afrb_adapters\.(0|[1-9]\d{0,5})\.(.+)$/s;
const NUMBERED = /^(0|[1-9]\d{0,5})\.(.+)$/s;

/**
 * Finds the adapters in either layout, `{afrb_adapters: [state_dict, …], model_config}` or `{model_state_dict:
 * {"afrb_adapters.N.…": …}, model_config}`, or in a safetensors file with names `afrb_adapters.N.…` or `N.…`. It reads no
 * tensor.
 * @throws ResonantError `invalid_file` if there are none, one is missing from the sequence, a name occurs twice, or
 * `model_config` is not a record
 */
export function readAdapters(file: TensorFile): AdapterCheckpoint {
  const names = [...file.tensors.keys()];
  const pattern = names.some((name) => NAMED.test(name)) ? NAMED : NUMBERED;
  const found = new Map<number, Map<string, string>>();
  const other: string[] = [];
  for (const name of names) {
    const match = pattern.exec(name);
    if (!match) {
      other.push(name);
      continue;
    }
    const [index, local] = [Number(match[1]), match[2]!];
    const adapter = found.get(index) ?? new Map<string, string>();
    const twin = adapter.get(local);
    if (twin !== undefined) {
      throw invalidFile(`${file.name}: tensor ${printable(name)}`, `is ${printable(twin)} over again`);
    }
    found.set(index, adapter.set(local, name));
  }
  return { modelConfig: readModelConfig(file), adapters: inOrder(file, found), other };
}

function inOrder(file: TensorFile, found: ReadonlyMap<number, Map<string, string>>): Map<string, string>[] {
  if (found.size === 0) {
    const some = [...file.tensors.keys()].slice(0, 3).map((name) => printable(name, 60));
    throw invalidFile(
      file.name,
      `holds no adapters: no tensor named afrb_adapters.0.… among its ${file.tensors.size} (${some.join(", ")})`,
    );
  }
  return Array.from({ length: found.size }, (_, i) => {
    const adapter = found.get(i);
    if (adapter) return adapter;
    throw invalidFile(file.name, `has ${found.size} adapters, but none numbered ${i}`);
  });
}

function readModelConfig(file: TensorFile): Readonly<Record<string, unknown>> {
  const where = `${file.name}: model_config`;
  let config = file.metadata.model_config;
  if (config === undefined || config === null) return {};
  if (typeof config === "string") {
    try {
      config = JSON.parse(config); // a conversion to safetensors stores it as JSON
    } catch (cause) {
      throw invalidFile(where, "is not JSON", undefined, cause);
    }
  }
  if (isRecord(config)) return config;
  throw invalidFile(where, "is not a dictionary");
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
