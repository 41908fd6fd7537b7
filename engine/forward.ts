import { combine } from "../kernels/combine/combine.ts";
import { combineUp, combineUpFits } from "../kernels/combine-up/combine-up.ts";
import { embed } from "../kernels/embed/embed.ts";
import type { Dispatch, KernelHost, StateShape } from "../kernels/kernel.ts";
import { layerNorm } from "../kernels/layer-norm/layer-norm.ts";
import { linearRow, linearTiled, type Product, type TileBatch } from "../kernels/linear/linear.ts";
import { memoryCombine, memoryCombineFits } from "../kernels/memory-combine/memory-combine.ts";
import { memoryScan } from "../kernels/memory-scan/memory-scan.ts";
import { memoryStep } from "../kernels/memory-step/memory-step.ts";
import { metrics } from "../kernels/metrics/metrics.ts";
import { mixerStep } from "../kernels/mixer-step/mixer-step.ts";
import { scaleRows } from "../kernels/scale-rows/scale-rows.ts";
import { shortConv } from "../kernels/short-conv/short-conv.ts";
import type { ReadoutBiasBuffers } from "./alignment/readout-bias.ts";
import type { Activations } from "./runner/activations.ts";
import type { BlockMlp, Blocks, BlockWeights, Weights } from "./weights.ts";

/** The buffers and settings of a forward pass, apart from the weights. */
export interface Workspace {
  readonly host: KernelHost;
  readonly a: Activations;
  /** The shape of the slots of the state pool. */
  readonly shape: StateShape;
  readonly state: GPUBuffer;
  readonly counts: GPUBuffer;
  /** The batch size that product tiles are tuned for. Default: prefill. */
  readonly tileBatch?: TileBatch | undefined;
  /** Whether to measure the metrics of SPEC §4.4 for every row. */
  readonly measure: boolean;
  /** Buffers for the logit bias of the first block's readout; undefined: no bias. */
  readonly bias?: ReadoutBiasBuffers | undefined;
}

/**
 * Decode: one token of each stream, from tokens to logits. Uses few dispatches, because recording them limits the speed of
 * small models.
 */
export function decodeStep(w: Weights, on: Workspace): Dispatch[] {
  const { host, a } = on;
  const mlps = w.blocks.flatMap(({ mlp }) => mlp ?? []);
  const few = mlps.length === w.blocks.length && suitsFewDispatches(host, w);
  // A block with few dispatches moves h to another buffer. The last one moves it to `a.h`.
  const hAfter = (blocks: number) => (few && (w.blocks.length - blocks) % 2 === 1 ? a.normed : a.h);
  return [
    ...embed(host, w.embed, { ...a, counts: on.counts, h: hAfter(0) }),
    ...w.blocks.flatMap((block, i) => {
      const mlp = few ? mlps[i] : undefined;
      return mlp ? decodeBlockInFew(w, block, mlp, on, hAfter(i), hAfter(i + 1)) : decodeBlock(w, block, on);
    }),
    ...decodeHead(w, on),
  ];
}

/**
 * On a GPU a dispatch costs more than what its workgroups then compute several times. On a software adapter it does not,
 * with lanes or without.
 */
const suitsFewDispatches = (host: KernelHost, { shape: { size } }: Blocks): boolean =>
  host.sharedLoadLanes === 0 &&
  host.productTiles !== "software" &&
  memoryCombineFits(host, size) &&
  combineUpFits(host, size);

/** The norm and head of a decode step, row by row of h. */
export function decodeHead(w: Weights, on: Workspace): Dispatch[] {
  const { host, a } = on;
  const input = { buffer: a.h, stride: w.shape.size };
  const output = { buffer: a.logits, stride: w.head.rows };
  return [
    ...linearRow(host, { weight: w.head, input, output, epilogue: "store" }, w.norm),
    ...biased(w, on, (product) => linearRow(host, product)),
  ];
}

/** Prefill: many tokens of each stream, from tokens to h after the last block. */
export function prefillPass(w: Weights, on: Workspace): Dispatch[] {
  return [
    ...embed(on.host, w.embed, { ...on.a, counts: on.counts }),
    ...w.blocks.flatMap((block) => prefillBlock(w, block, on)),
  ];
}

/** Many tokens of each stream, from tokens to the first block's memory, which {@link prefillMemory} leaves in `a.memory`. */
export function prefillReadout(w: Weights, on: Workspace): Dispatch[] {
  const [first] = w.blocks;
  return [
    ...embed(on.host, w.embed, { ...on.a, counts: on.counts }),
    ...(first ? prefillMemory(w, first, on) : []),
  ];
}

/** The norm and head in tiles of rows of h. */
export function prefillHead(w: Weights, on: Workspace): Dispatch[] {
  const { host, a } = on;
  const size = w.shape.size;
  const input = { buffer: a.normed, stride: size };
  const output = { buffer: a.logits, stride: w.head.rows };
  return [
    layerNorm(host, size, { h: a.h, norm: w.norm, out: a.normed }),
    ...tiled(on, { weight: w.head, input, output, epilogue: "store" }),
    ...biased(w, on, (product) => tiled(on, product)),
  ];
}

/** A product in tiles of rows. */
export const tiled = ({ host, a, tileBatch }: Workspace, product: Product): Dispatch[] =>
  linearTiled(host, a.run, product, tileBatch);

/** One resonant block in a decode step (SPEC §1): one token of each stream, from h to h'. */
export function decodeBlock(w: Blocks, b: BlockWeights, on: Workspace): Dispatch[] {
  const { host, a, shape: state } = on;
  const { size, taps, gated } = w.shape;
  const shared = { ...a, block: b.block, state: on.state };
  return [
    mixerStep(host, size, taps, state, { ...shared, norm: b.norm, conv: b.conv, ...b.mixer }),
    memoryStep(host, size, state, gated, { ...shared, decay: b.decay, ...b.memory }),
    combine(host, size, a.layers, state, { ...shared, weights: b.combine }),
    ...measured(w, b, on),
    ...readOut(w, b, on),
    ...(b.mlp
      ? [
          ...linearRow(
            host,
            {
              ...b.mlp.up,
              input: { buffer: a.h, stride: size },
              output: { buffer: a.inner, stride: w.shape.inner },
              epilogue: "gated",
            },
            b.mlp.norm,
          ),
          ...down(w, b.mlp, on, a.h),
        ]
      : []),
  ];
}

/** A block with an MLP in four dispatches, from `h` to `after`; bit for bit the same as {@link decodeBlock}. */
function decodeBlockInFew(
  w: Blocks,
  b: BlockWeights,
  mlp: BlockMlp,
  on: Workspace,
  h: GPUBuffer,
  after: GPUBuffer,
): Dispatch[] {
  const { host, a, shape: state } = on;
  const { size, taps, gated } = w.shape;
  const shared = { ...a, block: b.block, state: on.state, h, after };
  const memory = { decay: b.decay, weight: b.memory.weight, vectors: mlp.joined.memory };
  return [
    mixerStep(host, size, taps, state, { ...shared, norm: b.norm, conv: b.conv, ...b.mixer }),
    memoryCombine(host, size, a.layers, state, gated, { ...shared, ...memory }),
    ...measured(w, b, on),
    ...readOut(w, b, on),
    combineUp(host, size, state, { ...shared, weight: mlp.up.weight, vectors: mlp.joined.up }),
    ...down(w, mlp, on, after),
  ];
}

/** The MLP's second product, added to `h`. */
const down = (w: Blocks, mlp: BlockMlp, { host, a }: Workspace, h: GPUBuffer): Dispatch[] =>
  linearRow(host, {
    ...mlp.down,
    input: { buffer: a.inner, stride: w.shape.inner },
    output: { buffer: h, stride: w.shape.size },
    epilogue: "add",
  });

/** One resonant block in prefill: many tokens of each stream. The memories use a parallel scan, the products tiles. */
export function prefillBlock(w: Blocks, b: BlockWeights, on: Workspace): Dispatch[] {
  const { host, a } = on;
  const { size, inner } = w.shape;
  return [
    ...prefillMemory(w, b, on),
    ...measured(w, b, on),
    ...readOut(w, b, on),
    ...(b.mlp
      ? [
          layerNorm(host, size, { h: a.h, norm: b.mlp.norm, out: a.normed }),
          ...tiled(on, {
            ...b.mlp.up,
            input: { buffer: a.normed, stride: size },
            output: { buffer: a.inner, stride: inner },
            epilogue: "gated",
          }),
          ...tiled(on, {
            ...b.mlp.down,
            input: { buffer: a.inner, stride: inner },
            output: { buffer: a.h, stride: size },
            epilogue: "add",
          }),
        ]
      : []),
  ];
}

/**
 * The first part of a block, for many tokens of each stream: its memories, their contribution to h, and the state after
 * the last token. `a.memory` then holds m and z after each token, until the next block.
 */
export function prefillMemory(w: Blocks, b: BlockWeights, on: Workspace): Dispatch[] {
  const { host, a, shape: state } = on;
  const { size, taps, gated, lattice } = w.shape;
  const shared = { ...a, block: b.block, state: on.state };
  const u = { buffer: a.mixed, stride: 2 * size, offset: size };
  const z = { buffer: a.memory, stride: 2 * size, offset: size };
  return [
    layerNorm(host, size, { h: a.h, norm: b.norm, out: a.mixed }, 2 * size),
    shortConv(host, size, taps, state, { ...shared, conv: b.conv, out: a.normed }),
    ...tiled(on, {
      ...b.mixer,
      input: { buffer: a.normed, stride: size },
      output: u,
      epilogue: "gated",
    }),
    ...memoryScan(host, size, state, { ...shared, decay: b.decay }),
    ...tiled(on, {
      ...b.memory,
      rows: [0, lattice ? 2 * size : size],
      columns: gated ? size : 0,
      input: u,
      output: { buffer: a.gates, stride: 2 * size },
      epilogue: "sigmoid",
    }),
    ...(lattice
      ? tiled(on, {
          ...b.memory,
          rows: [2 * size, size],
          input: z,
          output: { buffer: a.plm, stride: size },
          epilogue: "store",
        })
      : []),
    combine(host, size, a.layers, state, { ...shared, weights: b.combine }),
  ];
}

function measured(w: Blocks, b: BlockWeights, { host, a, measure }: Workspace): Dispatch[] {
  if (!measure) return [];
  const { size, pvm, lattice } = w.shape;
  return [metrics(host, size, a.layers, pvm, lattice, { ...a, block: b.block, lattice: w.lattice })];
}

/** λ m of the first block. It must run before the memory of the next block overwrites m. */
function readOut(w: Blocks, b: BlockWeights, { host, a, bias }: Workspace): Dispatch[] {
  if (!bias || b !== w.blocks[0]) return [];
  const { size } = w.shape;
  const buffers = { x: a.memory, scales: bias.scales, out: bias.readouts };
  return [scaleRows(host, size, buffers, 2 * size)];
}

/** logits += λ m W Eᵀ. Uses the buffer of the norm, which is no longer needed. */
function biased(w: Weights, { a, bias }: Workspace, product: (p: Product) => Dispatch[]): Dispatch[] {
  if (!bias) return [];
  const { size } = w.shape;
  const readouts = { buffer: bias.readouts, stride: size };
  const aligned = { buffer: a.normed, stride: size };
  const logits = { buffer: a.logits, stride: w.head.rows };
  return [
    ...product({ weight: bias.weight, input: readouts, output: aligned, epilogue: "store" }),
    ...product({ weight: w.embed, input: aligned, output: logits, epilogue: "add" }),
  ];
}
