import { ResonantError } from "../../common/errors.ts";
import type { StateShape } from "../../kernels/kernel.ts";
import type { BlockShape } from "../config.ts";
import type { Gpu } from "../device/gpu.ts";

/** Where the parts of a stream's recurrent state lie: `[layers, tail + pvm + plm, D]` f32. */
export function stateShape(shape: BlockShape, layers: number): StateShape & { readonly rows: number } {
  const tail = Math.max(0, shape.taps - 1);
  const plm = shape.lattice !== undefined;
  const rows = tail + Number(shape.pvm) + Number(plm);
  return {
    slotStride: layers * rows * shape.size,
    layerStride: rows * shape.size,
    tail,
    pvm: shape.pvm,
    plm,
    rows,
  };
}

/** Returns the bytes of a stream in a pool: recurrent state, counts, pending token. */
export const rowBytes = (shape: StateShape, vocabulary: number) => ({
  state: 4 * shape.slotStride,
  counts: 4 * vocabulary,
  pending: 4,
});

/**
 * The GPU side of many streams' states, one slot each: recurrent state, how often each token was fed, and the token to
 * feed next. Admission, eviction, forking and snapshots are row copies.
 */
export class StatePool {
  readonly #gpu: Gpu;
  readonly slots: number;
  /** `[slots, layers, rows, D]`. */
  readonly state: GPUBuffer;
  /** `[slots, vocabulary]` u32. */
  readonly counts: GPUBuffer;
  /** `[slots]` u32. */
  readonly pending: GPUBuffer;
  /** Bytes of one slot's recurrent state. */
  readonly stateBytes: number;
  readonly countBytes: number;
  readonly #used: boolean[];
  #free: number;

  /** @param spare slots after the others that are nobody's, and cannot be taken */
  constructor(gpu: Gpu, shape: StateShape, vocabulary: number, slots: number, spare = 0) {
    this.#gpu = gpu;
    this.slots = slots;
    const row = rowBytes(shape, vocabulary);
    this.stateBytes = row.state;
    this.countBytes = row.counts;
    this.state = gpu.storage("state", (slots + spare) * this.stateBytes);
    this.counts = gpu.storage("counts", (slots + spare) * this.countBytes);
    this.pending = gpu.storage("pending tokens", (slots + spare) * row.pending);
    this.#used = Array.from({ length: slots }, () => false);
    this.#free = slots;
  }

  /** The number of free slots. */
  get free(): number {
    return this.#free;
  }

  /** Takes `count` adjacent slots and returns the first. @throws ResonantError `out_of_memory` if there are none */
  take(count = 1): number {
    const slot =
      count === 1
        ? this.#used.indexOf(false)
        : this.#used.findIndex((_, first) => {
            const run = this.#used.slice(first, first + count);
            return run.length === count && !run.includes(true);
          });
    if (slot < 0) {
      throw new ResonantError("out_of_memory", `no ${count} of the ${this.slots} state slots are free`, {
        fix: (name) => `Close a stream, or load the model with more ${name("slots")}`,
      });
    }
    this.#used.fill(true, slot, slot + count);
    this.#free -= count;
    return slot;
  }

  give(slot: number, count = 1): void {
    this.#used.fill(false, slot, slot + count);
    this.#free += count;
  }

  /** Clears `count` slots from `slot` on to the empty state at position 0. */
  clear(slot: number, count = 1): void {
    this.#gpu.submit((encoder) => {
      encoder.clearBuffer(this.state, slot * this.stateBytes, count * this.stateBytes);
      encoder.clearBuffer(this.counts, slot * this.countBytes, count * this.countBytes);
    });
  }

  /** Records a copy of a slot to one of another pool (WebGPU copies within a buffer are not allowed). */
  copy(encoder: GPUCommandEncoder, from: number, target: StatePool, to: number): void {
    for (const [source, destination, bytes] of [
      [this.state, target.state, this.stateBytes],
      [this.counts, target.counts, this.countBytes],
      [this.pending, target.pending, 4],
    ] as const) {
      encoder.copyBufferToBuffer(source, from * bytes, destination, to * bytes, bytes);
    }
  }

  async read(slot: number): Promise<{ state: Float32Array; counts: Uint32Array }> {
    const [state, counts] = await Promise.all([
      this.#gpu.read(this.state, slot * this.stateBytes, this.stateBytes),
      this.#gpu.read(this.counts, slot * this.countBytes, this.countBytes),
    ]);
    return { state: new Float32Array(state), counts: new Uint32Array(counts) };
  }

  write(
    slot: number,
    state: Float32Array<ArrayBuffer>,
    counts: Uint32Array<ArrayBuffer>,
    pending: number,
  ): void {
    const { queue } = this.#gpu.device;
    queue.writeBuffer(this.state, slot * this.stateBytes, state);
    queue.writeBuffer(this.counts, slot * this.countBytes, counts);
    queue.writeBuffer(this.pending, slot * 4, Uint32Array.of(pending));
  }
}
