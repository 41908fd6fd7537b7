import { ResonantError } from "../common/errors.ts";
import { dtypeSize, elementCount, toFloat32 } from "../weights/dtype.ts";
import type { TensorFile } from "../weights/tensor-file.ts";
import { type Fingerprint, PieceHash } from "./fingerprint.ts";

/** The bytes of a tensor that are read at once, as float32. */
export const CHUNK_BYTES = 4 * 2 ** 20;

/** A part of a tensor: its elements from index `first` on. */
export interface Chunk {
  readonly first: number;
  readonly values: Float32Array<ArrayBuffer>;
}

/** Tensors of a file by their names within a module: under a prefix or renamed. */
export interface Tensors {
  /** For messages: the file and the part of it. */
  readonly name: string;
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  read(name: string): Promise<Float32Array<ArrayBuffer>>;
  /** Reads a tensor in order, in chunks of whole rows of `width`: at most {@link CHUNK_BYTES}, but at least one row. */
  chunks(name: string, width: number): AsyncIterable<Chunk>;
}

/** Returns the tensors of a file whose names start with `prefix`, named without it. */
export function tensorsUnder(file: TensorFile, prefix = "", fingerprint?: Fingerprint): Tensors {
  const names = [...file.tensors.keys()].filter((name) => name.startsWith(prefix));
  return renamedTensors(file, new Map(names.map((name) => [name.slice(prefix.length), name])), fingerprint);
}

/**
 * Returns the tensors of a file under other names: `names` maps the name within a module to the name in the file.
 * @param fingerprint each tensor is added to it when it is read
 */
export function renamedTensors(
  file: TensorFile,
  names: ReadonlyMap<string, string>,
  fingerprint?: Fingerprint,
): Tensors {
  const shapes = new Map<string, readonly number[]>();
  for (const [local, name] of names) {
    const tensor = file.tensors.get(name);
    if (tensor) shapes.set(local, tensor.shape);
  }
  async function* pieces(local: string, step: number): AsyncGenerator<Chunk> {
    const { name, dtype, shape } = file.tensors.get(names.get(local) ?? local)!;
    const count = elementCount(shape) ?? 0;
    const size = dtypeSize(dtype);
    const hash = fingerprint && new PieceHash();
    for (let first = 0; first < count; first += step) {
      const bytes = await file.bytes(name, first * size, Math.min(count, first + step) * size);
      const hashed = hash?.add(bytes);
      const values = toFloat32(bytes, dtype) as Float32Array<ArrayBuffer>;
      await hashed;
      const bad = firstInfinite(values);
      if (bad >= 0) {
        throw new ResonantError("invalid_file", `element ${first + bad} is ${values[bad]}`, {
          where: `${file.name}: ${name}`,
          fix: "Weights must be finite",
        });
      }
      yield { first, values };
    }
    if (hash) fingerprint.add(name, dtype, shape, await hash.digest());
  }
  return {
    name: file.name,
    shapes,
    async read(local) {
      let all = new Float32Array();
      for await (const { values } of pieces(local, Number.POSITIVE_INFINITY)) all = values;
      return all;
    },
    chunks: (local, width) => pieces(local, Math.max(1, Math.floor(CHUNK_BYTES / (4 * width))) * width),
  };
}

/** Returns the index of the first number that is not finite, or −1. A plain loop, for speed: models have billions. */
function firstInfinite(values: Float32Array): number {
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? 0;
    if (value - value !== 0) return i;
  }
  return -1;
}

/**
 * Checks that `tensors` has exactly the `expected` names and shapes.
 * @param ignored names that may exist and are not read
 * @throws ResonantError `invalid_file` naming the tensor and both shapes
 */
export function expectShapes(
  tensors: Tensors,
  expected: ReadonlyMap<string, readonly number[]>,
  ignored: (name: string) => boolean = () => false,
): void {
  for (const [name, shape] of expected) {
    const found = tensors.shapes.get(name);
    const where = `${tensors.name}: ${name}`;
    if (!found) throw new ResonantError("invalid_file", "the tensor is missing", { where });
    if (found.length !== shape.length || found.some((size, axis) => size !== shape[axis])) {
      throw new ResonantError(
        "invalid_file",
        `the shape is [${found.join(", ")}], not [${shape.join(", ")}]`,
        {
          where,
        },
      );
    }
  }
  for (const name of tensors.shapes.keys()) {
    if (!expected.has(name) && !ignored(name)) {
      throw new ResonantError("invalid_file", "this model has no use for such a tensor", {
        where: `${tensors.name}: ${name}`,
      });
    }
  }
}

/** Returns the number of elements of all `expected` tensors. */
export const countParameters = (expected: ReadonlyMap<string, readonly number[]>): number =>
  [...expected.values()].reduce((sum, shape) => sum + (elementCount(shape) ?? 0), 0);
