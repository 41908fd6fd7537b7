import type { KernelHost, RunShape } from "./kernel.ts";

/** Most streams of a pass: those that `Run` of `lib/run.wgsl` has room for. */
export const MOST_STREAMS = 1024;

/** Where a stream of a pass stands. */
export interface StreamPlace {
  /** Of the state, the counts and attention's cache. */
  readonly slot: number;
  /** Of the first token that the pass feeds. */
  readonly position: number;
}

/** `Run` of `lib/run.wgsl`: no rows yet, and every stream in slot 0 at position 0 until {@link encodeRun} says otherwise. */
export const runUniform = (host: KernelHost, label: string): GPUBuffer =>
  host.uniform(label, new Uint32Array(4 + 4 * MOST_STREAMS));

/** The beginning of a `Run`, as far as `streams` go. */
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
