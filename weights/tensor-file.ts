import { type Dtype, dtypeSize, elementCount, toFloat32 } from "./dtype.ts";
import { invalidFile, printable, withinRange } from "./refuse.ts";

/** A tensor's name, element type and dimensions; `[]` is a scalar. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

/** Bytes that a tensor's elements take. */
export const byteLength = ({ dtype, shape }: Pick<TensorInfo, "dtype" | "shape">): number =>
  (elementCount(shape) ?? 0) * dtypeSize(dtype);

/** A file of named tensors. Opening it reads only its header; a tensor is read when it is asked for. */
export interface TensorFile {
  readonly name: string;
  readonly format: "safetensors" | "pt";
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /**
   * What the file holds besides tensors: the `__metadata__` (strings) of a safetensors file, or the plain values of a `.pt`
   * (numbers, strings, lists, nested records), such as its `model_config`.
   */
  readonly metadata: Readonly<Record<string, unknown>>;
  /**
   * A tensor's elements, row-major, little-endian, contiguous and aligned: all of them, or the bytes from `from` to before
   * `to`.
   * @throws ResonantError `invalid_file` if the tensor or those bytes do not exist, or the file cannot be read
   */
  bytes(name: string, from?: number, to?: number): Promise<Uint8Array>;
  /** The same as float32 (see `toFloat32`). */
  float32(name: string): Promise<Float32Array>;
}

/**
 * Makes a `TensorFile` from a format's own tensor records and a function that reads one, from byte `from` to before `to`.
 */
export function tensorFile<T extends TensorInfo>(
  head: Pick<TensorFile, "name" | "format" | "metadata">,
  tensors: ReadonlyMap<string, T>,
  read: (tensor: T, from: number, to: number) => Promise<Uint8Array>,
): TensorFile {
  const find = (name: string): T => {
    const tensor = tensors.get(name);
    if (tensor) return tensor;
    throw invalidFile(head.name, `has no tensor named ${printable(name)}`);
  };
  return {
    ...head,
    tensors,
    bytes: async (name, from = 0, to) => {
      const tensor = find(name);
      const size = byteLength(tensor);
      const end = to ?? size;
      if (from >= 0 && from <= end && end <= size)
        return withinRange(head.name, () => read(tensor, from, end));
      throw invalidFile(
        `${head.name}: tensor ${printable(name)}`,
        `has no bytes ${from} to ${end} of ${size}`,
      );
    },
    float32: async (name) => {
      const tensor = find(name);
      return withinRange(head.name, async () =>
        toFloat32(await read(tensor, 0, byteLength(tensor)), tensor.dtype),
      );
    },
  };
}
