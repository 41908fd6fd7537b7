import { ResonantError } from "../../common/errors.ts";
import { add } from "../../kernels/add/add.ts";
import { type AttentionShape, attention } from "../../kernels/attention/attention.ts";
import { attentionStep, partialsBytes } from "../../kernels/attention-step/attention-step.ts";
import { embed } from "../../kernels/embed/embed.ts";
import type { Dispatch } from "../../kernels/kernel.ts";
import { layerNorm, type Norm } from "../../kernels/layer-norm/layer-norm.ts";
import { type Columns, type Epilogue, linearRow, type ProductWay } from "../../kernels/linear/linear.ts";
import { rowsThatFit } from "../../kernels/products.ts";
import { qkvRope, qkvRopeFits } from "../../kernels/qkv-rope/qkv-rope.ts";
import { rope } from "../../kernels/rope/rope.ts";
import type { Gpu } from "../device/gpu.ts";
import {
  decodeBlock,
  decodeHead,
  prefillBlock,
  prefillHead,
  prefillMemory,
  tiled,
  type Workspace,
} from "../forward.ts";
import type { Network, Passes } from "../network.ts";
import type { Activations } from "../runner/activations.ts";
import type { Weights } from "../weights.ts";
import type { DecoderConfig } from "./decoder-config.ts";
import type { Family, LayerBuffer, LayerOps, Linear } from "./family.ts";
import type { DecoderWeights } from "./load-decoder.ts";
import { ropeTable } from "./rope.ts";

/** Where adapters are placed: all of them after the embedding, or one after each of the last layers. */
export type Placement = "embedding" | "layers";

/** `bypass`: attention is replaced by the identity on its normalised input. */
export type AttentionMode = "on" | "bypass";

export interface DecoderOptions {
  readonly placement: Placement;
  readonly attention: AttentionMode;
  readonly adaptiveOmega: boolean;
}

/** A base model with its adapters, which are the blocks of `weights` (SPEC §2.2). */
export function decoderNetwork(
  family: Family,
  c: DecoderConfig,
  decoder: DecoderWeights,
  weights: Weights,
  options: DecoderOptions,
): Network {
  const attends = options.attention === "on";
  return {
    config: {
      family: c.family,
      vocabulary: c.vocabulary,
      positions: attends ? c.positions : null,
      bosId: c.bosId,
      eosIds: c.eosIds,
      adaptiveOmega: options.adaptiveOmega,
      base: {
        layers: c.layers,
        heads: c.heads,
        kvHeads: c.kvHeads,
        inner: c.inner,
        placement: options.placement,
        attention: options.attention,
      },
    },
    weights,
    inner: c.inner,
    cacheBytes: attends ? 2 * 4 * c.layers * c.kvHeads * c.headSize : 0,
    passes: (gpu, slots) => new DecoderPasses(gpu, slots, family, c, decoder, weights, options),
  };
}

class DecoderPasses implements Passes {
  readonly #family: Family;
  readonly #config: DecoderConfig;
  readonly #decoder: DecoderWeights;
  readonly #weights: Weights;
  readonly #placement: Placement;
  readonly #attention: Attention | undefined;

  constructor(
    gpu: Gpu,
    slots: number,
    family: Family,
    config: DecoderConfig,
    decoder: DecoderWeights,
    weights: Weights,
    { placement, attention }: DecoderOptions,
  ) {
    this.#family = family;
    this.#config = config;
    this.#decoder = decoder;
    this.#weights = weights;
    this.#placement = placement;
    this.#attention = attention === "on" ? new Attention(gpu, slots, config) : undefined;
  }

  decodeStep(on: Workspace, way: ProductWay): Dispatch[] {
    const op = layerOps(on, this.#config, this.#attention, way);
    return way === "row"
      ? [...this.#toH(on, op, decodeBlock), ...this.decodeHead(on)]
      : [...this.#toH(on, op, prefillBlock), ...this.prefillHead(on)];
  }

  prefillPass(on: Workspace): Dispatch[] {
    const op = layerOps(on, this.#config, this.#attention, "prefill");
    return this.#toH(on, op, prefillBlock);
  }

  prefillReadout(on: Workspace): Dispatch[] {
    const op = layerOps(on, this.#config, this.#attention, "prefill");
    const { layers } = this.#decoder;
    const [adapter] = this.#weights.blocks;
    const before = this.#placement === "layers" ? layers.slice(0, this.#firstFollowed + 1) : [];
    return [
      ...embed(on.host, this.#decoder.embed, { ...on.a, counts: on.counts }),
      ...before.flatMap((layer) => this.#family.layer(layer, this.#config, op)),
      ...(adapter ? prefillMemory(this.#weights, adapter, on) : []),
    ];
  }

  decodeHead(on: Workspace): Dispatch[] {
    return decodeHead(this.#weights, on);
  }

  prefillHead(on: Workspace): Dispatch[] {
    return prefillHead(this.#weights, on);
  }

  /** Index of the first layer that an adapter follows, where they stand after layers. */
  get #firstFollowed(): number {
    return this.#decoder.layers.length - this.#weights.blocks.length;
  }

  /** From tokens to h after the last layer. */
  #toH(on: Workspace, op: LayerOps, block: typeof decodeBlock): Dispatch[] {
    const { layers } = this.#decoder;
    const adapters = this.#weights.blocks.map((adapter) => block(this.#weights, adapter, on));
    const first = this.#firstFollowed;
    return [
      ...embed(on.host, this.#decoder.embed, { ...on.a, counts: on.counts }),
      ...(this.#placement === "embedding" ? adapters.flat() : []),
      ...layers.flatMap((layer, i) => [
        ...this.#family.layer(layer, this.#config, op),
        ...(this.#placement === "layers" ? (adapters[i - first] ?? []) : []),
      ]),
    ];
  }
}

/** The caches of all layers, and attention's working buffers. */
class Attention {
  readonly shape: AttentionShape;
  readonly angles: GPUBuffer;
  readonly #gpu: Gpu;
  readonly #caches: readonly { readonly keys: GPUBuffer; readonly values: GPUBuffer }[];
  readonly #buffers = new WeakMap<Activations, AttentionBuffers>();
  readonly #partials = new WeakMap<Activations, GPUBuffer>();

  constructor(gpu: Gpu, slots: number, c: DecoderConfig) {
    const { heads, kvHeads, headSize, positions } = c;
    this.shape = { heads, kvHeads, headSize, positions, rotary: 2 * c.rope.frequencies.length };
    const { maxBufferSize, maxStorageBufferBindingSize } = gpu.device.limits;
    const most = Math.min(maxBufferSize, maxStorageBufferBindingSize);
    const slotBytes = 4 * positions * kvHeads * headSize;
    if (slots * slotBytes > most) {
      throw new ResonantError(
        "out_of_memory",
        `the keys of ${slots} streams take ${slots * slotBytes} bytes, but this device binds at most ${most}`,
        {
          where: "attention's cache",
          fix: (name) => `Run at most ${Math.floor(most / slotBytes)} at once: lower ${name("slots")}`,
        },
      );
    }
    this.#gpu = gpu;
    this.angles = gpu.upload("rope", ropeTable(c.rope, positions));
    this.#caches = Array.from({ length: c.layers }, (_, layer) => ({
      keys: gpu.storage(`keys of layer ${layer}`, slots * slotBytes),
      values: gpu.storage(`values of layer ${layer}`, slots * slotBytes),
    }));
  }

  cache(layer: number): { readonly keys: GPUBuffer; readonly values: GPUBuffer } {
    return this.#caches[layer]!;
  }

  buffers(a: Activations): AttentionBuffers {
    const { heads, kvHeads, headSize } = this.shape;
    const made = this.#buffers.get(a) ?? {
      qkv: this.#gpu.storage("qkv", 4 * a.rows * (heads + 2 * kvHeads) * headSize),
      context: this.#gpu.storage("context", 4 * a.rows * heads * headSize),
    };
    this.#buffers.set(a, made);
    return made;
  }

  /** The results of the splits of a decode step's keys. */
  partials(a: Activations): GPUBuffer {
    const made = this.#partials.get(a) ?? this.#gpu.storage("partials", partialsBytes(this.shape, a.rows));
    this.#partials.set(a, made);
    return made;
  }
}

/** What the heads of one pass read and write. */
interface AttentionBuffers {
  /** `[rows, (H + 2 KV) · hd]`. */
  readonly qkv: GPUBuffer;
  /** `[rows, H · hd]`. */
  readonly context: GPUBuffer;
}

/** How products are done: a row at a time, or in tiles of rows. */
interface Products {
  normed(norm: Norm, linear: Linear, from: Columns, to: Columns, epilogue: Epilogue): Dispatch[];
  product(linear: Linear, from: Columns, to: Columns, epilogue: Epilogue): Dispatch[];
}

/** In tiles of rows, each norm in a dispatch before its product. */
const tiledProducts = (on: Workspace, c: DecoderConfig): Products => ({
  normed: (norm, matrix, _from, output, epilogue) => [
    layerNorm(on.host, c.size, { h: on.a.h, norm, out: on.a.normed }),
    ...tiled(on, { ...matrix, input: { buffer: on.a.normed, stride: c.size }, output, epilogue }),
  ],
  product: (matrix, input, output, epilogue) => tiled(on, { ...matrix, input, output, epilogue }),
});

/** A row at a time, each norm in the dispatch of its product; in tiles where a row is too wide for that. */
function rowProducts(on: Workspace, c: DecoderConfig): Products {
  const { host } = on;
  const tiles = tiledProducts(on, c);
  const fits = ({ weight }: Linear): boolean => rowsThatFit(host, weight.columns) >= 2;
  return {
    normed: (norm, matrix, input, output, epilogue) =>
      fits(matrix)
        ? linearRow(host, { ...matrix, input, output, epilogue }, norm)
        : tiles.normed(norm, matrix, input, output, epilogue),
    product: (matrix, input, output, epilogue) =>
      fits(matrix)
        ? linearRow(host, { ...matrix, input, output, epilogue })
        : tiles.product(matrix, input, output, epilogue),
  };
}

/** @param way how a decode step multiplies, or that the pass is none */
function layerOps(
  on: Workspace,
  c: DecoderConfig,
  attends: Attention | undefined,
  way: ProductWay | "prefill",
): LayerOps {
  const { host, a } = on;
  const products = (way === "row" ? rowProducts : tiledProducts)(on, c);
  const columns: Readonly<Record<LayerBuffer, Columns>> = {
    h: { buffer: a.h, stride: c.size },
    inner: { buffer: a.inner, stride: c.inner },
  };
  const ops: Pick<LayerOps, "normed" | "product"> = {
    normed: (norm, matrix, to, epilogue) => products.normed(norm, matrix, columns.h, columns[to], epilogue),
    product: (matrix, from, to, epilogue) => products.product(matrix, columns[from], columns[to], epilogue),
  };
  if (!attends) {
    return {
      ...ops,
      attend: ({ norm1 }) => [layerNorm(host, c.size, { h: a.h, norm: norm1, out: a.plm })],
      fromAttention: () => [add(host, c.size, { h: a.h, x: a.plm })],
    };
  }
  const { shape, angles } = attends;
  const { qkv, context } = attends.buffers(a);
  const wide = { buffer: qkv, stride: (shape.heads + 2 * shape.kvHeads) * shape.headSize };
  return {
    ...ops,
    attend: (w) => {
      const buffers = { ...a, ...attends.cache(w.index), angles, qkv, out: context };
      const { weight, bias } = w.qkv;
      const heads =
        way === "row" && qkvRopeFits(host, weight)
          ? [
              qkvRope(
                host,
                shape,
                { norm: w.norm1, biased: bias !== undefined },
                { ...buffers, weight, vectors: w.qkvVectors },
              ),
            ]
          : [...products.normed(w.norm1, w.qkv, columns.h, wide, "store"), rope(host, shape, buffers)];
      return [
        ...heads,
        ...(way === "prefill"
          ? [attention(host, shape, buffers)]
          : attentionStep(host, shape, { ...buffers, partials: attends.partials(a) })),
      ];
    },
    fromAttention: (w) =>
      products.product(w.out, { buffer: context, stride: shape.heads * shape.headSize }, columns.h, "add"),
  };
}
