import type { StateShape } from "../../kernels/kernel.ts";
import type { Gpu } from "../device/gpu.ts";
import { MemoryCount } from "../device/memory.ts";
import { rowBytes, StatePool } from "./state-pool.ts";

/** The GPU memory for states after prefixes of prompts, in a bounded number of rows. */
export class PrefixStates {
  readonly #gpu: Gpu;
  readonly #shape: StateShape;
  readonly #vocabulary: number;
  readonly #memory: MemoryCount;
  #pool: StatePool | undefined;
  /** The maximum number of states. */
  readonly rows: number;

  /** @param bytes of GPU memory, taken when the first state is kept, and counted as `prefixes` */
  constructor(
    gpu: Gpu,
    shape: StateShape,
    vocabulary: number,
    bytes: number,
    memory: MemoryCount = new MemoryCount(gpu),
  ) {
    this.#gpu = gpu;
    this.#memory = memory;
    this.#shape = shape;
    this.#vocabulary = vocabulary;
    const row = rowBytes(shape, vocabulary);
    const { maxBufferSize } = gpu.device.limits;
    const most = Math.floor(maxBufferSize / Math.max(row.state, row.counts));
    this.rows = Math.min(most, Math.floor(bytes / (row.state + row.counts + row.pending)));
  }

  /** The pool of the states. Allocated at first use. */
  get pool(): StatePool {
    this.#pool ??= this.#memory.of(
      "prefixes",
      () => new StatePool(this.#gpu, this.#shape, this.#vocabulary, this.rows),
    );
    return this.#pool;
  }

  /** Allocates the memory of all {@link rows} now. */
  reserve(): void {
    void this.pool;
  }
}
