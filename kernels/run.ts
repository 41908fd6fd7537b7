import type { KernelHost, RunShape } from "./kernel.ts";

/** The most streams in a pass: as many as `Run` of `lib/run.wgsl` has room for. */
export const MOST_STREAMS = 1024;

/** Slot and position of one stream of a pass. */
export interface StreamPlace {
  /** The stream's slot in the states, the token counts and the attention cache. */
  readonly slot: number;
  /** Position of the first token that the pass feeds. */
  readonly position: number;
}

/**
 * A buffer for `Run` of `lib/run.wgsl`. Until {@link encodeRun} is written to it, it has no rows, and every stream is in
 * slot 0 at position 0.
 */
export const runUniform = (host: KernelHost, label: string): GPUBuffer =>
  host.uniform(label, new Uint32Array(4 + 4 * MOST_STREAMS));

/** The first words of a `Run`, up to the last of `streams`. */
export function encodeRun(
  { rows, length }: RunShape,
  streams: readonly StreamPlace[] = [],
): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(4 + 4 * streams.length);
  words.set([rows, length]);
  streams.forEach(({ slot, position }, i) => {
    words.set([slot, position % 2 ** 32], 4 + 4 * i);
  });
  return words;
}
