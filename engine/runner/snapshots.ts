import type { Gpu } from "../device/gpu.ts";
import type { StatePool } from "../state/state-pool.ts";

/** Copies of streams as they were, to go back to. Rows of a pool of their own; a stream's attention cache is not among them. */
export class Snapshots {
  readonly #gpu: Gpu;
  readonly #streams: StatePool;
  readonly #rows: StatePool;

  /**
   * @param streams what is copied from and back to
   * @param rows what is copied to
   */
  constructor(gpu: Gpu, streams: StatePool, rows: StatePool) {
    this.#gpu = gpu;
    this.#streams = streams;
    this.#rows = rows;
  }

  /** Rows in all. */
  get slots(): number {
    return this.#rows.slots;
  }

  /** Rows that nobody has taken. */
  get free(): number {
    return this.#rows.free;
  }

  /** A row that is free. @throws ResonantError `out_of_memory` if there is none */
  take(): number {
    return this.#rows.take();
  }

  /** Gives a row back. */
  give(row: number): void {
    this.#rows.give(row);
  }

  /** Records a copy of a slot's stream to a row. */
  record(encoder: GPUCommandEncoder, slot: number, row: number): void {
    this.#streams.copy(encoder, slot, this.#rows, row);
  }

  /** Copies a slot's stream to a row, of `rows` where they are given. */
  keep(slot: number, row: number, rows = this.#rows): void {
    this.#gpu.assertAlive();
    this.#gpu.submit((encoder) => this.#streams.copy(encoder, slot, rows, row));
  }

  /** Brings a slot's stream back to what was kept in a row, of `rows` where they are given. */
  restore(slot: number, row: number, rows = this.#rows): void {
    this.#gpu.assertAlive();
    this.#gpu.submit((encoder) => rows.copy(encoder, row, this.#streams, slot));
  }

  /** Copies one slot's stream to another slot, through a row. @throws ResonantError `out_of_memory` if no row is free */
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
