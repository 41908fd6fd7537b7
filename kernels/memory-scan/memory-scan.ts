import {
  ceilDivide,
  type Dispatch,
  dispatch,
  Kernel,
  type KernelHost,
  memoryOverrides,
  type PassBuffers,
  type StateShape,
} from "../kernel.ts";
import block from "../lib/block.wgsl";
import memory from "../lib/memory.wgsl";
import pairs from "../lib/pairs.wgsl";
import run from "../lib/run.wgsl";
import stateLayout from "../lib/state.wgsl";
import endsSource from "./ends.wgsl";
import loadPair from "./load-pair.wgsl";
import scanSource from "./scan.wgsl";

const ends = new Kernel("memory-ends", run, memory, pairs, loadPair, endsSource);
const scan = new Kernel("memory-scan", run, block, stateLayout, memory, pairs, loadPair, scanSource);

/** Tokens in a chunk of the scan. A prompt cut at a multiple of it gives the same numbers, bit for bit. */
export const CHUNK = 64;

export interface MemoryScanBuffers extends PassBuffers {
  readonly block: GPUBuffer;
  /** `[rows, 2, D]`: u second. */
  readonly mixed: GPUBuffer;
  /** `[⌈D/2⌉, 8]`: see {@link decayTable}. */
  readonly decay: GPUBuffer;
  readonly state: GPUBuffer;
  /** Working buffer, `[streams, chunks, ⌈D/2⌉, 4]`. */
  readonly ends: GPUBuffer;
  /** `[rows, 2, D]`, written: m, z. */
  readonly memory: GPUBuffer;
}

/**
 * PVM and PLM after every token of a pass, as a chunked parallel scan (Blelloch 1990) over diagonal linear recurrences
 * with constant decay: first the end of each chunk started from zero, then each chunk from the state carried into it. Two
 * dispatches.
 */
export function memoryScan(
  host: KernelHost,
  size: number,
  state: StateShape,
  buffers: MemoryScanBuffers,
): Dispatch[] {
  const pairCount = ceilDivide(size, 2);
  const grid: Dispatch["grid"] = ({ rows, length }) => [
    ceilDivide(pairCount, 64),
    (rows / length) * ceilDivide(length, CHUNK),
  ];
  const shape = { D: size, PAIRS: pairCount, CHUNK };
  return [
    dispatch(host, ends, shape, [buffers.run, buffers.mixed, buffers.decay, buffers.ends], grid),
    dispatch(
      host,
      scan,
      { ...shape, ...memoryOverrides(state) },
      [buffers.run, buffers.block, buffers.mixed, buffers.decay, buffers.state, buffers.ends, buffers.memory],
      grid,
    ),
  ];
}

/** The constants of one pair's recurrences. */
export interface PairDecay {
  /** PVM: m ← β m + α u. */
  readonly beta: number;
  readonly alpha: number;
  /** PLM: z ← λ e^{iω} z + (1 − λ) u. */
  readonly lambda: number;
  readonly omega: number;
}

/** `Decay` of `lib/memory.wgsl` for each pair, with the powers over a chunk computed in f64: `[pairs, 8]`. */
export function decayTable(pairs: readonly PairDecay[]): Float32Array {
  return Float32Array.from(
    pairs.flatMap(({ beta, alpha, lambda, omega }) => {
      const chunkLambda = lambda ** CHUNK;
      return [
        beta,
        alpha,
        lambda * Math.cos(omega),
        lambda * Math.sin(omega),
        1 - lambda,
        beta ** CHUNK,
        chunkLambda * Math.cos(CHUNK * omega),
        chunkLambda * Math.sin(CHUNK * omega),
      ];
    }),
  );
}
