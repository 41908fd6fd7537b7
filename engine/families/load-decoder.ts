import type { Norm } from "../../kernels/layer-norm/layer-norm.ts";
import type { Matrix, WeightFormat } from "../../kernels/matrix.ts";
import type { Gpu } from "../gpu.ts";
import { countParameters, expectShapes, type Tensors } from "../tensors.ts";
import { concat, type LoadProgress, Uploader } from "../weights.ts";
import type { DecoderConfig } from "./decoder-config.ts";
import type { Family, LayerWeights, Linear } from "./family.ts";

/** A decoder on the GPU, without its adapters. */
export interface DecoderWeights {
  /** `[V, D]`. */
  readonly embed: Matrix;
  /** Before the head. */
  readonly norm: Norm;
  /** `[V, D]`; the embedding itself where they are tied. */
  readonly head: Matrix;
  readonly layers: readonly LayerWeights[];
  readonly parameters: number;
}

/** Rows of q, of k and of v. */
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
  onProgress: LoadProgress = () => {},
): Promise<DecoderWeights> {
  const { names } = family;
  const expected = decoderTensors(family, c);
  expectShapes(tensors, expected, (name) => names.ignored.test(name) || (c.tied && name === names.head));
  let done = 0;
  const from = new Uploader(gpu, format, tensors, (name) => onProgress(++done, expected.size, name));
  const embed = await from.matrix(c.size, [{ name: names.embed, rows: c.vocabulary }]);
  const layers: LayerWeights[] = [];
  for (let i = 0; i < c.layers; i++) layers.push(await loadLayer(from.under(names.layer(i)), family, c, i));
  const weights = {
    embed,
    norm: await readNorm(from, names.norm, family, c),
    head: c.tied ? embed : await from.matrix(c.size, [{ name: names.head, rows: c.vocabulary }]),
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
  const order = family.interleavedQkv ? apart(c) : undefined;
  const gated = names.up.length === 2;
  return {
    index,
    norm1: await readNorm(from, names.norm1, family, c),
    norm2: await readNorm(from, names.norm2, family, c),
    qkv: await readLinear(from, names.qkv, [q + k + v, c.size], c.attentionBias, { order }),
    out: await readLinear(from, [names.out], [c.size, q], c.attentionBias),
    up: await readLinear(from, names.up, [names.up.length * c.inner, c.size], c.mlpBias, { gated }),
    down: await readLinear(from, [names.down], [c.size, c.inner], c.mlpBias),
  };
}

async function readNorm(from: Uploader, name: string, { rms }: Family, c: DecoderConfig): Promise<Norm> {
  const weight = await from.read(`${name}.weight`);
  const bias = rms ? new Float32Array(c.size) : await from.read(`${name}.bias`);
  return { buffer: from.upload(name, concat([weight, bias])), rms, eps: c.eps };
}

/** Matrices one under another as one, `order` naming the row that comes r-th, or a unit's two halves side by side. */
async function readLinear(
  from: Uploader,
  names: readonly string[],
  [rows, columns]: readonly [number, number],
  biased: boolean,
  layout: { readonly order?: Uint32Array | undefined; readonly gated?: boolean } = {},
): Promise<Linear> {
  const order = layout.gated
    ? Uint32Array.from({ length: rows }, (_, r) => (r >> 1) + (r % 2) * (rows / 2))
    : layout.order;
  const stacked = async (suffix: string, width: number): Promise<Float32Array<ArrayBuffer>> => {
    const parts = [];
    for (const name of names) parts.push(await from.read(name + suffix));
    const values = parts.length === 1 ? (parts[0] ?? new Float32Array()) : concat(parts);
    return order ? permuteRows(values, order, width) : values;
  };
  const weight = from.pack(names.join(", "), await stacked(".weight", columns), [rows, columns]);
  if (!biased) return { weight };
  return { weight, bias: from.upload(`${names.join(", ")} bias`, await stacked(".bias", 1)) };
}

function permuteRows(values: Float32Array, order: Uint32Array, width: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(values.length);
  for (const [r, row] of order.entries()) out.set(values.subarray(row * width, (row + 1) * width), r * width);
  return out;
}

/** Rows of `[H, 3, hd]` in the order `[3, H, hd]`. */
function apart({ heads, headSize }: DecoderConfig): Uint32Array {
  const order = new Uint32Array(3 * heads * headSize);
  for (let part = 0; part < 3; part++) {
    for (let head = 0; head < heads; head++) {
      for (let i = 0; i < headSize; i++) {
        order[(part * heads + head) * headSize + i] = (head * 3 + part) * headSize + i;
      }
    }
  }
  return order;
}
