import { invalidFile, printable } from "./refuse.ts";
import type { TensorFile, TensorInfo } from "./tensor-file.ts";

const MOST_SHARDS = 10_000;

/** A plain file name: without a folder, not hidden. */
const SHARD = /^[\w-][\w.-]*\.safetensors$/;

/**
 * The files that a parsed `model.safetensors.index.json` distributes its tensors over, in its order.
 * @param where its name in errors
 * @throws ResonantError `invalid_file` if it is not an index, or names anything but plain `.safetensors` files beside it
 */
export function shardsOf(index: unknown, where: string): string[] {
  const map = typeof index === "object" && index !== null && "weight_map" in index ? index.weight_map : null;
  if (typeof map !== "object" || map === null || Array.isArray(map)) {
    throw invalidFile(where, "it has no weight_map from tensors to files");
  }
  const shards = new Set<unknown>(Object.values(map));
  if (shards.size === 0) throw invalidFile(where, "its weight_map is empty");
  if (shards.size > MOST_SHARDS) throw invalidFile(where, `it names more than ${MOST_SHARDS} files`);
  return Array.from(shards, (shard) => {
    if (typeof shard === "string" && SHARD.test(shard)) return shard;
    const named = printable(JSON.stringify(shard) ?? "");
    throw invalidFile(where, `it names ${named}, which is not a .safetensors file beside it`);
  });
}

/** Joins several files of tensors. @throws ResonantError `invalid_file` naming a tensor that two of them hold */
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
    bytes: async (tensor, from, to) => home(tensor).bytes(tensor, from, to),
    float32: async (tensor) => home(tensor).float32(tensor),
  };
}
