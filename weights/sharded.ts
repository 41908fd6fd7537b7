import * as v from "valibot";
import { invalidFile, printable } from "./refuse.ts";
import type { TensorFile, TensorInfo } from "./tensor-file.ts";

const index = v.object({ weight_map: v.record(v.string(), v.string()) });

/** A plain file name: no folder, nothing hidden. */
const SHARD = /^[\w-][\w.-]*\.safetensors$/;

/**
 * The files that a `model.safetensors.index.json` spreads its tensors over.
 * @throws ResonantError `invalid_file` naming what is no index, or no name of a file beside it
 */
export function shardsOf(value: unknown, where: string): string[] {
  const parsed = v.safeParse(index, value);
  if (!parsed.success) {
    throw invalidFile(
      where,
      `is no index of tensors: ${v.getDotPath(parsed.issues[0]) ?? ""} ${parsed.issues[0].message}`,
    );
  }
  const shards = [...new Set(Object.values(parsed.output.weight_map))].sort();
  if (shards.length === 0) throw invalidFile(where, "names no file");
  const odd = shards.find((shard) => !SHARD.test(shard));
  if (odd !== undefined)
    throw invalidFile(where, `${printable(odd)} is not the name of a safetensors file beside it`);
  return shards;
}

/** Several files of tensors as one. @throws ResonantError `invalid_file` naming a tensor that two of them hold */
export function joinTensorFiles(name: string, files: readonly TensorFile[]): TensorFile {
  const homes = new Map<string, TensorFile>();
  const tensors = new Map<string, TensorInfo>();
  for (const file of files) {
    for (const [tensor, info] of file.tensors) {
      const other = homes.get(tensor);
      if (other) throw invalidFile(`${file.name}: ${printable(tensor)}`, `${other.name} holds it, too`);
      homes.set(tensor, file);
      tensors.set(tensor, info);
    }
  }
  const home = (tensor: string): TensorFile => {
    const file = homes.get(tensor);
    if (file) return file;
    throw invalidFile(name, `has no tensor named ${printable(tensor)}`);
  };
  return {
    name,
    format: "safetensors",
    metadata: files[0]?.metadata ?? {},
    tensors,
    bytes: async (tensor) => home(tensor).bytes(tensor),
    float32: async (tensor) => home(tensor).float32(tensor),
  };
}
