import type { Gpu } from "./gpu.ts";

/** Bytes of a runner's GPU memory, by what they are for. */
export interface RunnerMemory {
  /** Streams' recurrent states, counts of their tokens, and pending tokens. */
  readonly states: number;
  /** States as they were before a run, and room for a fork. */
  readonly snapshots: number;
  /** States after beginnings of prompts: none before the first is kept. */
  readonly prefixes: number;
  /** Attention's keys and values, and its rotary table. */
  readonly attention: number;
  /** What a step works in, for as many streams as there are slots. */
  readonly steps: number;
  /** What a part of a prompt works in: nothing before the first comes. */
  readonly prompts: number;
  /** What results are read back through, for each run in flight. */
  readonly staging: number;
  /** What a calibrated readout votes with. */
  readonly alignment: number;
}

/** Counts a device's bytes as what they are taken for, where they are taken. */
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

  /** What `make` gives; what it takes for good is `purpose`'s. Such calls do not nest. */
  of<T>(purpose: keyof RunnerMemory, make: () => T): T {
    const before = this.#gpu.bytes;
    const made = make();
    this.bytes[purpose] += this.#gpu.bytes - before;
    return made;
  }
}
