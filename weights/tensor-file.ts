import type { Dtype } from "./dtype.ts";
import { toFloat32 } from "./dtype.ts";
import { invalidFile, printable } from "./refuse.ts";

/** A tensor's name, element type and dimensions; `[]` is a scalar. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

/** A file of named tensors. Opening it reads only its header; a tensor is read when it is asked for. */
export interface TensorFile {
  readonly name: string;
  readonly format: "safetensors" | "pt";
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /**
   * What the file holds beside tensors: a safetensors file's `__metadata__` (strings), or the plain values of a
   * `.pt` (numbers, strings, lists, nested records), such as its `model_config`.
   */
  readonly metadata: Readonly<Record<string, unknown>>;
  /**
   * A tensor's elements, row-major, little-endian, contiguous and aligned: exactly the tensor.
   *
   * @throws ResonantError `invalid_file` if there is no such tensor, or the file cannot be read
   */
  bytes(name: string): Promise<Uint8Array>;
  /** The same as float32 (see `toFloat32`). */
  float32(name: string): Promise<Float32Array>;
}

/** Makes a `TensorFile` of a format's own tensor records and the way to read one. */
export function tensorFile<T extends TensorInfo>(
  head: Pick<TensorFile, "name" | "format" | "metadata">,
  tensors: ReadonlyMap<string, T>,
  read: (tensor: T) => Promise<Uint8Array>,
): TensorFile {
  const find = (name: string): T => {
    const tensor = tensors.get(name);
    if (tensor) return tensor;
    throw invalidFile(head.name, `has no tensor named ${printable(name)}`);
  };
  return {
    ...head,
    tensors,
    bytes: async (name) => read(find(name)),
    float32: async (name) => {
      const tensor = find(name);
      return toFloat32(await read(tensor), tensor.dtype);
    },
  };
}
