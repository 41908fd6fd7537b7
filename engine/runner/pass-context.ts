import type { StateShape } from "../../kernels/kernel.ts";
import type { ReadoutBias } from "../alignment/readout-bias.ts";
import type { Gpu } from "../device/gpu.ts";
import type { MemoryCount } from "../device/memory.ts";
import type { Workspace } from "../forward.ts";
import type { Network, Passes } from "../network.ts";
import type { StatePool } from "../state/state-pool.ts";
import { Activations } from "./activations.ts";

/** What a pass does beside giving logits. */
export interface PassVariant {
  /** Whether it measures SPEC §4's metrics. */
  readonly measure: boolean;
  /** Whether the readouts' bias is added to the logits. */
  readonly bias: boolean;
}

export const PLAIN: PassVariant = { measure: false, bias: false };

/** What all passes of one runner are built on. */
export class PassContext {
  readonly gpu: Gpu;
  readonly network: Network;
  readonly passes: Passes;
  readonly pool: StatePool;
  readonly bias: ReadoutBias;
  readonly memory: MemoryCount;
  readonly #shape: StateShape;

  constructor(
    gpu: Gpu,
    network: Network,
    shape: StateShape,
    parts: { passes: Passes; pool: StatePool; bias: ReadoutBias; memory: MemoryCount },
  ) {
    this.gpu = gpu;
    this.network = network;
    this.#shape = shape;
    this.passes = parts.passes;
    this.pool = parts.pool;
    this.bias = parts.bias;
    this.memory = parts.memory;
  }

  get vocabulary(): number {
    return this.network.config.vocabulary;
  }

  activations(rows: number, steps: number, logitRows: number): Activations {
    const { inner, weights } = this.network;
    const shape = { size: weights.shape.size, inner };
    const sizes = { rows, steps, vocabulary: this.vocabulary, logitRows };
    return new Activations(this.gpu, shape, weights.blocks.length, sizes);
  }

  /** What a pass of this variant works in, on the states of `pool`. */
  workspace(
    a: Activations,
    { measure, bias }: PassVariant,
    tileBatch: Workspace["tileBatch"],
    pool = this.pool,
  ): Workspace {
    const { state, counts } = pool;
    const buffers = bias ? this.bias.buffers(a) : undefined;
    return { host: this.gpu, a, shape: this.#shape, state, counts, tileBatch, measure, bias: buffers };
  }
}

/** The list kept under `key`, built when it is first asked for. */
export function kept<T>(lists: Map<string, T>, key: string, build: () => T): T {
  const list = lists.get(key) ?? build();
  lists.set(key, list);
  return list;
}
