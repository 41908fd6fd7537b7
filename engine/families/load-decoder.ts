import type { Norm } from "../../kernels/layer-norm/layer-norm.ts";
import type { Matrix, WeightFormat } from "../../kernels/matrix.ts";
import type { Gpu } from "../device/gpu.ts";
import type { ProductShape } from "../product-shape.ts";
import { countParameters, expectShapes, type Tensors } from "../tensors.ts";
import { concat, type LoadCallbacks, type TensorRows, Uploader } from "../weights.ts";
import type { DecoderConfig } from "./decoder-config.ts";
import type { Family, LayerWeights, Linear } from "./family.ts";

/** A decoder on the GPU, without its adapters. */
export interface DecoderWeights {
  /** `[V, D]`. */
  readonly embed: Matrix;
  /** The norm before the head. */
  readonly norm: Norm;
  /** `[V, D]`; the embedding itself if they are tied. */
  readonly head: Matrix;
  readonly layers: readonly LayerWeights[];
  readonly parameters: number;
}

/** The numbers of rows of q, k and v. */
const qkvRows = (c: DecoderConfig): readonly [number, number, number] => [
  c.heads * c.headSize,
  c.kvHeads * c.headSize,
  c.kvHeads * c.headSize,
];

/** Names and shapes of a decoder's tensors. */
export function decoderTensors(family: Family, c: DecoderConfig): Map<string, readonly number[]> {
  const { names, rms } = family;
  const expected = new Map<string, readonly number[]>();
  const norm = (name: string): void => {
    expected.set(`${name}.weight`, [c.size]);
    if (!rms) expected.set(`${name}.bias`, [c.size]);
  };
  const linear = (name: string, rows: number, columns: number, bias: boolean): void => {
    expected.set(`${name}.weight`, [rows, columns]);
    if (bias) expected.set(`${name}.bias`, [rows]);
  };
  expected.set(names.embed, [c.vocabulary, c.size]);
  norm(names.norm);
  if (!c.tied) expected.set(names.head, [c.vocabulary, c.size]);
  const [q, k, v] = qkvRows(c);
  const parts = names.qkv.length === 1 ? [q + k + v] : [q, k, v];
  for (let i = 0; i < c.layers; i++) {
    const at = names.layer(i);
    norm(at + names.norm1);
    norm(at + names.norm2);
    for (const [part, name] of names.qkv.entries())
      linear(at + name, parts[part] ?? 0, c.size, c.attentionBias);
    linear(at + names.out, c.size, q, c.attentionBias);
    for (const name of names.up) linear(at + name, c.inner, c.size, c.mlpBias);
    linear(at + names.down, c.size, c.inner, c.mlpBias);
  }
  return expected;
}

/** The matrices that a decode step multiplies by, as the GPU holds them. */
export const decoderProducts = (family: Family, c: DecoderConfig): readonly ProductShape[] => {
  const [q, k, v] = qkvRows(c);
  return [
    { name: "qkv", rows: q + k + v, columns: c.size, count: c.layers },
    { name: "out", rows: c.size, columns: q, count: c.layers },
    { name: "up", rows: family.names.up.length * c.inner, columns: c.size, count: c.layers },
    { name: "down", rows: c.size, columns: c.inner, count: c.layers },
    { name: "head", rows: c.vocabulary, columns: c.size, count: 1 },
  ];
};

/**
 * Reads a decoder's tensors to the GPU, one after another.
 * @throws ResonantError `invalid_file` naming a tensor that is missing, unknown, of a wrong shape or not finite;
 * `out_of_memory` naming the buffer
 */
export async function loadDecoder(
  gpu: Gpu,
  family: Family,
  c: DecoderConfig,
  tensors: Tensors,
  format: WeightFormat,
  { onProgress, onPacked }: LoadCallbacks = {},
): Promise<DecoderWeights> {
  const { names } = family;
  const expected = decoderTensors(family, c);
  expectShapes(tensors, expected, (name) => names.ignored.test(name) || (c.tied && name === names.head));
  let done = 0;
  const onRead = (name: string) => onProgress?.(++done, expected.size, name);
  const from = new Uploader(gpu, format, tensors, { onRead, onPacked });
  const embed = await from.matrix(c.size, [{ name: names.embed, rows: c.vocabulary }], "in parts");
  const layers: LayerWeights[] = [];
  for (let i = 0; i < c.layers; i++) layers.push(await loadLayer(from.under(names.layer(i)), family, c, i));
  const weights = {
    embed,
    norm: await readNorm(from, names.norm, family, c),
    head: c.tied ? embed : await from.matrix(c.size, [{ name: names.head, rows: c.vocabulary }], "in parts"),
    layers,
    parameters: countParameters(expected),
  };
  await gpu.settle();
  return weights;
}

async function loadLayer(
  from: Uploader,
  family: Family,
  c: DecoderConfig,
  index: number,
): Promise<LayerWeights> {
  const { names } = family;
  const [q, k, v] = qkvRows(c);
  const qkv = family.interleavedQkv
    ? names.qkv.map((name) => ({ name, rows: q + k + v, place: apart(c) }))
    : names.qkv.map((name, i) => ({ name, rows: [q, k, v][i] ?? 0 }));
  const halves = names.up.length;
  // The gate and up rows of a unit side by side.
  const up = names.up.map((name, i) => ({ name, rows: c.inner, place: (row: number) => halves * row + i }));
  const norm1 = await readNorm(from, names.norm1, family, c);
  const heads = await readLinear(from, qkv, c.size, c.attentionBias);
  return {
    index,
    norm1,
    norm2: await readNorm(from, names.norm2, family, c),
    qkv: heads,
    qkvVectors: heads.bias
      ? from.join(
          "vectors of q, k, v",
          { buffer: norm1.buffer, floats: 2 * c.size },
          { buffer: heads.bias, floats: q + k + v },
        )
      : norm1.buffer,
    out: await readLinear(from, [{ name: names.out, rows: c.size }], q, c.attentionBias),
    up: await readLinear(from, up, c.size, c.mlpBias),
    down: await readLinear(from, [{ name: names.down, rows: c.size }], c.inner, c.mlpBias),
  };
}

async function readNorm(from: Uploader, name: string, { rms }: Family, c: DecoderConfig): Promise<Norm> {
  const weight = await from.read(`${name}.weight`);
  const bias = rms ? new Float32Array(c.size) : await from.read(`${name}.bias`);
  return { buffer: from.upload(name, concat([weight, bias])), rms, eps: c.eps };
}

/** Several matrices as one, and their biases as one. */
async function readLinear(
  from: Uploader,
  parts: readonly TensorRows[],
  columns: number,
  biased: boolean,
): Promise<Linear> {
  const called = (what: string): TensorRows[] =>
    parts.map((part) => ({ ...part, name: `${part.name}.${what}` }));
  const weight = await from.matrix(columns, called("weight"), "in parts");
  return biased ? { weight, bias: await from.vector(called("bias")) } : { weight };
}

/** The place in `[3, H, hd]` of a row of `[H, 3, hd]`. */
const apart =
  ({ heads, headSize }: DecoderConfig) =>
  (row: number): number => {
    const block = Math.floor(row / headSize);
    return ((block % 3) * heads + Math.floor(block / 3)) * headSize + (row % headSize);
  };
