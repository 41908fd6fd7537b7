import { ResonantError } from "../../common/errors.ts";
import type { Model } from "../model.ts";
import { tokenFeatures } from "../retrieval/features.ts";
import { LatticeCoherence, orderParameter } from "./coherence.ts";
import { Curvature, type CurvatureMetrics } from "./curvature.ts";
import { MemoryTrace } from "./memory-trace.ts";

type Tokens = ArrayLike<number> & Iterable<number>;

export interface RetrievalDiagnosticsOptions {
  /** The tokens of the context. */
  readonly tokens: Tokens;
  /** The tokens of the needle or query, fed after the context; may be empty. */
  readonly cue: Tokens;
  /** First token of the best match, an index into `tokens`. */
  readonly position: number;
  /** The memory whose curvature is measured: the vector memory for `pvm` and `hybrid`, the lattice for `plm`. */
  readonly mode: "pvm" | "plm" | "hybrid";
  /** What the retrieval worked in. */
  readonly memoryBytes: number;
  /** Called with the number of tokens measured so far and the total. */
  readonly onProgress?: ((tokens: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The measures of the first block's memories over a retrieval (SPEC §5.4); null if the model lacks the memory. */
export interface RetrievalDiagnostics {
  readonly phase: {
    /** R_t of m_t, the mean over all tokens. */
    readonly phaseCoherence: number | null;
    /** The lattice's coherence, the mean over all tokens. */
    readonly plmCoherence: number | null;
    readonly curvature: CurvatureMetrics;
  };
  readonly memory: {
    /** Mean |m[d]| after the last token. */
    readonly pvmMemoryNorm: number | null;
    /** The mean over all tokens of the gate that u_t sets. */
    readonly pvmGateStrength: number | null;
    readonly plmCoherence: number | null;
    /** What the retrieval worked in. */
    readonly memoryBytes: number;
  };
}

/**
 * Measures the memories of the first block while it reads a context and then its cue. They are driven by the same token-local
 * u as in retrieval (SPEC §5.4), but are empty at the start and not windowed. Needs constant memory, whatever the length of
 * the context.
 * @throws ResonantError `invalid_argument` naming `tokens` or `position` if it is empty or out of range, or `mode` if the
 * model lacks that memory; `model` if memories are not finite; the signal's reason
 */
export async function retrievalDiagnostics(
  { gpu, weights }: Pick<Model, "gpu" | "weights">,
  options: RetrievalDiagnosticsOptions,
): Promise<RetrievalDiagnostics> {
  const { tokens, cue, position, mode, memoryBytes, onProgress, signal } = options;
  const { size, pvm, lattice } = weights.shape;
  expectArguments(options, mode === "plm" ? lattice !== undefined : pvm);
  const counts = countTokens(tokens, cue);
  const features = await tokenFeatures(gpu, weights, counts.keys(), signal);
  const feature = (token: number): Float32Array => features.get(token)!;
  const total = tokens.length + cue.length;
  const token = (t: number): number => (t < tokens.length ? tokens[t] : cue[t - tokens.length])!;

  const curvature = new Curvature({ size, needle: position, retrieval: tokens.length });
  const cells = lattice && new LatticeCoherence(lattice.grid);
  let [phase, plm, norm, gate] = [0, 0, 0, 0];
  const trace = new MemoryTrace(gpu, weights, total);
  try {
    for (let start = 0; start < total; start += trace.rows) {
      signal?.throwIfAborted();
      const rows = Math.min(trace.rows, total - start);
      const us = Array.from({ length: rows }, (_, row) => feature(token(start + row)));
      const memory = await trace.advance(us);
      for (let first = 0; first < memory.length; first += 2 * size) {
        const m = memory.subarray(first, first + size);
        const z = memory.subarray(first + size, first + 2 * size);
        curvature.push(mode === "plm" ? z : m);
        phase += orderParameter(m);
        if (cells) plm += cells.of(z);
      }
      norm = meanModulus(memory.subarray(-2 * size, -size));
      onProgress?.(start + rows, total);
    }
    // A value that is not finite makes the sums not finite, even in a memory whose curvature is not measured.
    if (!Number.isFinite(phase + plm + norm)) throw new ResonantError("model", "the memories are not finite");
    if (pvm) gate = await sumOfGates(trace, counts, feature);
  } finally {
    trace.destroy();
  }

  const plmCoherence = lattice ? plm / total : null;
  return {
    phase: {
      phaseCoherence: pvm ? phase / total : null,
      plmCoherence,
      curvature: curvature.metrics(),
    },
    memory: {
      pvmMemoryNorm: pvm ? norm : null,
      pvmGateStrength: pvm ? gate / total : null,
      plmCoherence,
      memoryBytes,
    },
  };
}

function expectArguments({ tokens, position, mode }: RetrievalDiagnosticsOptions, hasMemory: boolean): void {
  const refuse = (option: string, message: string): never => {
    throw new ResonantError("invalid_argument", message, { option });
  };
  if (tokens.length === 0) refuse("tokens", "is empty");
  if (!(Number.isInteger(position) && position >= 0 && position < tokens.length)) {
    refuse("position", `${position} is none of ${tokens.length} tokens`);
  }
  if (!hasMemory) refuse("mode", `the model has no memory for ${JSON.stringify(mode)}`);
}

/** Sums the mean of the gate over all tokens. The gate is computed once for each different token. */
async function sumOfGates(
  trace: MemoryTrace,
  counts: ReadonlyMap<number, number>,
  feature: (token: number) => Float32Array,
): Promise<number> {
  const distinct = [...counts.keys()];
  let sum = 0;
  for (let start = 0; start < distinct.length; start += trace.rows) {
    const part = distinct.slice(start, start + trace.rows);
    const gates = await trace.gates(part.map(feature));
    const size = gates.length / part.length;
    part.forEach((token, row) => {
      sum += counts.get(token)! * meanModulus(gates.subarray(row * size, (row + 1) * size));
    });
  }
  return sum;
}

function meanModulus(values: Float32Array): number {
  let sum = 0;
  for (let d = 0; d < values.length; d++) sum += Math.abs(values[d]!);
  return sum / values.length;
}

/** Counts how often each token occurs. */
function countTokens(...lists: readonly Tokens[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const list of lists) {
    for (const token of list) counts.set(token, (counts.get(token) ?? 0) + 1);
  }
  return counts;
}
