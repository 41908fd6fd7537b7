import type { Gpu } from "./gpu.ts";

/** Bytes of a runner's GPU memory, by purpose. */
export interface RunnerMemory {
  /** Recurrent states of the streams, their token counts, and pending tokens. */
  readonly states: number;
  /** States from before a run, and space for a fork. */
  readonly snapshots: number;
  /** States after prefixes of prompts; 0 until the first one is kept. */
  readonly prefixes: number;
  /** Attention's keys and values, and its rotary table. */
  readonly attention: number;
  /** Working buffers of decode steps, for as many streams as there are slots. */
  readonly steps: number;
  /** Working buffers of prefill; 0 until the first prompt comes. */
  readonly prompts: number;
  /** Buffers through which results are read back, for each run in flight. */
  readonly staging: number;
  /** Buffers of a calibrated readout's logit bias. */
  readonly alignment: number;
}

/** Counts a device's bytes by purpose, where they are allocated. */
export class MemoryCount {
  readonly #gpu: Gpu;
  readonly bytes: { -readonly [purpose in keyof RunnerMemory]: number } = {
    states: 0,
    snapshots: 0,
    prefixes: 0,
    attention: 0,
    steps: 0,
    prompts: 0,
    staging: 0,
    alignment: 0,
  };

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /**
   * Returns what `make` returns, and counts the bytes that it leaves allocated under `purpose`. Calls must not be nested.
   */
  of<T>(purpose: keyof RunnerMemory, make: () => T): T {
    const before = this.#gpu.bytes;
    const made = make();
    this.bytes[purpose] += this.#gpu.bytes - before;
    return made;
  }
}
