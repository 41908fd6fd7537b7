import type { StateShape } from "../../kernels/kernel.ts";
import type { ReadoutBias } from "../alignment/readout-bias.ts";
import type { Gpu } from "../device/gpu.ts";
import type { MemoryCount } from "../device/memory.ts";
import type { Workspace } from "../forward.ts";
import type { Network, Passes } from "../network.ts";
import type { StatePool } from "../state/state-pool.ts";
import { Activations } from "./activations.ts";

/** What a pass computes in addition to logits. */
export interface PassVariant {
  /** Whether it measures the metrics of SPEC §4. */
  readonly measure: boolean;
  /** Whether it adds the readout's bias to the logits (SPEC §5). */
  readonly bias: boolean;
}

export const PLAIN: PassVariant = { measure: false, bias: false };

/** The parts that all passes of one runner share. */
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

  /** Returns the workspace of a pass of this variant, with the states of `pool`. */
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

/** Returns the cached list of `key`. Builds it at the first call. */
export function kept<T>(lists: Map<string, T>, key: string, build: () => T): T {
  const list = lists.get(key) ?? build();
  lists.set(key, list);
  return list;
}
