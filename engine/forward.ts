import { combine } from "../kernels/combine/combine.ts";
import { embed } from "../kernels/embed/embed.ts";
import type { Dispatch, KernelHost, StateShape } from "../kernels/kernel.ts";
import { layerNorm } from "../kernels/layer-norm/layer-norm.ts";
import { linear, linearRow, type Product, type Rows } from "../kernels/linear/linear.ts";
import { memoryScan } from "../kernels/memory-scan/memory-scan.ts";
import { memoryStep } from "../kernels/memory-step/memory-step.ts";
import { metrics } from "../kernels/metrics/metrics.ts";
import { mixerStep } from "../kernels/mixer-step/mixer-step.ts";
import { scaleRows } from "../kernels/scale-rows/scale-rows.ts";
import { shortConv } from "../kernels/short-conv/short-conv.ts";
import type { VoteBuffers } from "./alignment/vote-buffers.ts";
import type { Activations } from "./runner/activations.ts";
import type { Blocks, BlockWeights, Weights } from "./weights.ts";

/** What a forward pass reads and writes besides weights. */
export interface Workspace {
  readonly host: KernelHost;
  readonly a: Activations;
  /** Of the pool's slots. */
  readonly shape: StateShape;
  readonly state: GPUBuffer;
  readonly counts: GPUBuffer;
  /** What products of many rows are made for. */
  readonly rows?: Rows | undefined;
  /** Whether to measure SPEC §4's metrics of every row. */
  readonly measure: boolean;
  /** Where the first block's memory votes on the logits. */
  readonly votes?: VoteBuffers | undefined;
}

/** One token of each stream, from tokens to logits: few dispatches, since recording them is what limits small models. */
export function tokenStep(w: Weights, on: Workspace): Dispatch[] {
  const { host, a } = on;
  return [
    ...embed(host, w.embed, { ...a, counts: on.counts }),
    ...w.blocks.flatMap((block) => blockStep(w, block, on)),
    ...headStep(w, on),
  ];
}

/** The norm and head for few rows of h. */
export function headStep(w: Weights, on: Workspace): Dispatch[] {
  const { host, a } = on;
  const input = { buffer: a.h, stride: w.shape.size };
  const output = { buffer: a.logits, stride: w.head.rows };
  return [
    ...linearRow(host, { weight: w.head, input, output, epilogue: "store" }, w.norm),
    ...voted(w, on, (product) => linearRow(host, product)),
  ];
}

/** Many tokens of each stream, from tokens to h after the last block. */
export function promptPass(w: Weights, on: Workspace): Dispatch[] {
  return [
    ...embed(on.host, w.embed, { ...on.a, counts: on.counts }),
    ...w.blocks.flatMap((block) => blockPass(w, block, on)),
  ];
}

/** The norm and head for many rows of h. */
export function headPass(w: Weights, on: Workspace): Dispatch[] {
  const { host, a } = on;
  const size = w.shape.size;
  const input = { buffer: a.normed, stride: size };
  const output = { buffer: a.logits, stride: w.head.rows };
  return [
    layerNorm(host, size, { h: a.h, norm: w.norm, out: a.normed }),
    ...tiled(on, { weight: w.head, input, output, epilogue: "store" }),
    ...voted(w, on, (product) => tiled(on, product)),
  ];
}

/** A product of many rows. */
export const tiled = ({ host, a, rows }: Workspace, product: Product): Dispatch[] =>
  linear(host, a.run, product, rows);

/** One resonant block for one token of each stream (SPEC §1): h to h'. */
export function blockStep(w: Blocks, b: BlockWeights, on: Workspace): Dispatch[] {
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
          ...linearRow(host, {
            ...b.mlp.down,
            input: { buffer: a.inner, stride: w.shape.inner },
            output: { buffer: a.h, stride: size },
            epilogue: "add",
          }),
        ]
      : []),
  ];
}

/** The same for many tokens of each stream: the memories as a parallel scan, the products in tiles. */
export function blockPass(w: Blocks, b: BlockWeights, on: Workspace): Dispatch[] {
  const { host, a, shape: state } = on;
  const { size, taps, gated, lattice, inner } = w.shape;
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

function measured(w: Blocks, b: BlockWeights, { host, a, measure }: Workspace): Dispatch[] {
  if (!measure) return [];
  const { size, pvm, lattice } = w.shape;
  return [metrics(host, size, a.layers, pvm, lattice, { ...a, block: b.block, lattice: w.lattice })];
}

/** λ m of the first block, before the next one's memory takes its place. */
function readOut(w: Blocks, b: BlockWeights, { host, a, votes }: Workspace): Dispatch[] {
  if (!votes || b !== w.blocks[0]) return [];
  const { size } = w.shape;
  const buffers = { x: a.memory, scales: votes.scales, out: votes.readouts };
  return [scaleRows(host, size, buffers, 2 * size)];
}

/** logits += λ m W Eᵀ, in the room of a norm that has been used. */
function voted(w: Weights, { a, votes }: Workspace, product: (p: Product) => Dispatch[]): Dispatch[] {
  if (!votes) return [];
  const { size } = w.shape;
  const readouts = { buffer: votes.readouts, stride: size };
  const aligned = { buffer: a.normed, stride: size };
  const logits = { buffer: a.logits, stride: w.head.rows };
  return [
    ...product({ weight: votes.weight, input: readouts, output: aligned, epilogue: "store" }),
    ...product({ weight: w.embed, input: aligned, output: logits, epilogue: "add" }),
  ];
}
