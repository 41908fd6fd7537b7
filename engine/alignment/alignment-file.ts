import * as v from "valibot";
import { ResonantError } from "../../common/errors.ts";
import { printable } from "../../weights/refuse.ts";
import { writeSafetensors } from "../../weights/safetensors.ts";
import type { TensorFile } from "../../weights/tensor-file.ts";

/** A linear map from a model's memory to its embedding (KISS-Ridge, SPEC §5). */
export interface Alignment {
  /** W, `[D, D]`: the memory's elements by the embedding's. */
  readonly weights: Float32Array<ArrayBuffer>;
  readonly lambda: number;
  /** The number of tokens it was fitted to. */
  readonly tokens: number;
  /** ‖E − ZW‖ / ‖E‖ over them. */
  readonly residual: number;
}

/** The model that an alignment belongs to. */
export interface AlignedModel {
  readonly fingerprint: string;
  readonly weights: { readonly shape: { readonly size: number } };
}

const FORMAT = "resonant-alignment";
const VERSION = "1";
const TENSOR = "W";

const number = v.pipe(
  v.string(),
  v.regex(/^\d+(\.\d+)?(e[+-]?\d+)?$/, "is no number of at least 0"),
  v.transform(Number),
  v.finite(),
);
const header = v.strictObject({
  format: v.literal(FORMAT),
  version: v.literal(VERSION),
  fingerprint: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, "is no SHA-256")),
  lambda: number,
  tokens: v.pipe(number, v.safeInteger(), v.minValue(1)),
  residual: number,
});

/** An alignment as a safetensors file, in chunks: `W [D, D]` f32, and in the metadata its model's fingerprint and the rest. */
export function encodeAlignment(
  { fingerprint, weights }: AlignedModel,
  alignment: Alignment,
): AsyncGenerator<Uint8Array> {
  const { size } = weights.shape;
  const { weights: w, lambda, tokens, residual } = alignment;
  const bytes = async (): Promise<Uint8Array> => new Uint8Array(w.buffer, w.byteOffset, w.byteLength);
  return writeSafetensors([{ name: TENSOR, dtype: "F32", shape: [size, size], bytes }], {
    format: FORMAT,
    version: VERSION,
    fingerprint,
    lambda: String(lambda),
    tokens: String(tokens),
    residual: String(residual),
  });
}

/**
 * Reads an alignment, checking all of it.
 * @throws ResonantError `invalid_file` naming what is damaged, or if it is of another model or version
 */
export async function readAlignment(file: TensorFile, model: AlignedModel): Promise<Alignment> {
  const fail = (message: string, fix?: string): never => {
    throw new ResonantError(
      "invalid_file",
      message,
      fix === undefined ? { where: file.name } : { where: file.name, fix },
    );
  };
  const { metadata } = file;
  if (metadata.format !== FORMAT) {
    return fail("this is no alignment of a memory", "Make one with `resonant calibrate`");
  }
  if (metadata.version !== VERSION) {
    const version = printable(String(metadata.version));
    return fail(`version ${version}; this engine reads version ${VERSION}`);
  }
  const parsed = v.safeParse(header, metadata);
  if (!parsed.success) {
    const issue = parsed.issues[0];
    return fail(`${v.getDotPath(issue) ?? "metadata"}: ${issue.message}`);
  }
  const { fingerprint, lambda, tokens, residual } = parsed.output;
  if (fingerprint !== model.fingerprint) {
    return fail(
      `it belongs to another model (${fingerprint.slice(0, 12)}…, not ${model.fingerprint.slice(0, 12)}…)`,
      "Calibrate this one",
    );
  }
  const other = [...file.tensors.keys()].find((name) => name !== TENSOR);
  if (other !== undefined) return fail(`${printable(other)} is no part of an alignment`);
  const tensor = file.tensors.get(TENSOR);
  if (!tensor) return fail(`${TENSOR} is missing`);
  const { size } = model.weights.shape;
  const { dtype, shape } = tensor;
  if (dtype !== "F32" || shape.join() !== `${size},${size}`) {
    return fail(`${TENSOR} is ${dtype} [${shape.join(", ")}], not F32 [${size}, ${size}]`);
  }
  const weights = Float32Array.from(await file.float32(TENSOR));
  if (!weights.every(Number.isFinite)) return fail(`${TENSOR} holds values that are not finite`);
  return { weights, lambda, tokens, residual };
}
