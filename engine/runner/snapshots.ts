import type { Gpu } from "../device/gpu.ts";
import type { StatePool } from "../state/state-pool.ts";

/** Copies of streams that can be restored, in the rows of a second pool. They do not include the attention cache. */
export class Snapshots {
  readonly #gpu: Gpu;
  readonly #streams: StatePool;
  readonly #rows: StatePool;

  /**
   * @param streams the pool of the streams
   * @param rows the pool of the copies
   */
  constructor(gpu: Gpu, streams: StatePool, rows: StatePool) {
    this.#gpu = gpu;
    this.#streams = streams;
    this.#rows = rows;
  }

  /** The number of rows. */
  get slots(): number {
    return this.#rows.slots;
  }

  /** The number of free rows. */
  get free(): number {
    return this.#rows.free;
  }

  /** Takes a free row and returns its index. @throws ResonantError `out_of_memory` if there is none */
  take(): number {
    return this.#rows.take();
  }

  /** Gives a row back. */
  give(row: number): void {
    this.#rows.give(row);
  }

  /** Records a copy of the stream in `slot` to `row`. */
  record(encoder: GPUCommandEncoder, slot: number, row: number): void {
    this.#streams.copy(encoder, slot, this.#rows, row);
  }

  /** Copies the stream in `slot` to a row of `rows`. Default: of the snapshots. */
  keep(slot: number, row: number, rows = this.#rows): void {
    this.#gpu.assertAlive();
    this.#gpu.submit((encoder) => this.#streams.copy(encoder, slot, rows, row));
  }

  /** Copies a row of `rows` back to `slot`. Default: of the snapshots. */
  restore(slot: number, row: number, rows = this.#rows): void {
    this.#gpu.assertAlive();
    this.#gpu.submit((encoder) => rows.copy(encoder, row, this.#streams, slot));
  }

  /** Copies the stream in one slot to another slot, through a row. @throws ResonantError `out_of_memory` if no row is free */
  fork(from: number, to: number): void {
    const row = this.take();
    this.#gpu.assertAlive();
    this.#gpu.submit((encoder) => {
      this.record(encoder, from, row);
      this.#rows.copy(encoder, row, this.#streams, to);
    });
    this.give(row);
  }
}
