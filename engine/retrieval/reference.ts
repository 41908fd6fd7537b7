import { LAGS, mostLag } from "../../kernels/lag-alignment/lag-alignment.ts";
import { lagAlignmentReference } from "../../kernels/lag-alignment/reference.ts";
import type { PairFade } from "../../kernels/memory-window/memory-window.ts";
import { memoryWindowReference } from "../../kernels/memory-window/reference.ts";
import { segmentCosineReference } from "../../kernels/segment-cosine/reference.ts";
import { CASE_SHARE } from "./feature-table.ts";
import type { RetrievalMode } from "./retrieval-model.ts";
import { cutSegments } from "./segments.ts";

/**
 * The feature that drives the memories, in f64 (see `FeatureTable`): `unit((1 − ρ) unit(u_lower − ū) + ρ unit(u − ū))`.
 * @param u a token's feature `[D]`, `lower` that of its text in lower case, `mean` the vocabulary's
 */
export function featureReference(
  u: ArrayLike<number>,
  lower: ArrayLike<number>,
  mean: ArrayLike<number>,
): number[] {
  const unit = (values: number[]): number[] => {
    const length = Math.hypot(...values);
    return length > 0 ? values.map((value) => value / length) : values;
  };
  const centred = (values: ArrayLike<number>): number[] =>
    unit(Array.from(values, (value, d) => value - mean[d]!));
  const [own, folded] = [centred(u), centred(lower)];
  return unit(own.map((value, d) => (1 - CASE_SHARE) * folded[d]! + CASE_SHARE * value));
}

/**
 * Returns the similarity of every position of a context with a cue, in f64: the definition that `Resonance` implements.
 * Positions where the cue would exceed the end of the context are compared with silence there.
 * @param context features `[T][D]`
 * @param cue features `[k][D]`
 * @param span tokens per segment, for a cue that is compared together with others
 */
export function similaritiesReference(
  context: readonly (readonly number[])[],
  cue: readonly (readonly number[])[],
  fades: readonly PairFade[],
  mode: RetrievalMode,
  span = cutSegments([cue.length]).span,
): { similarity: number; lag: number }[] {
  const size = cue[0]!.length;
  const ends = cutSegments([cue.length], span).ends[0]!;
  const silence = Array.from({ length: cue.length + LAGS }, () => new Array<number>(size).fill(0));
  const windowsOf = (tokens: readonly (readonly number[])[]): Float64Array[] => {
    const all = memoryWindowReference(tokens.flat(), fades, size, span);
    return tokens.map((_, t) => all.subarray(t * 2 * size, (t + 1) * 2 * size));
  };
  const windows = windowsOf([...context, ...silence]);
  const segments = windowsOf(cue);
  return context.map((_, position) =>
    lagAlignmentReference(ends.length, mostLag(cue.length), (segment, lag) => {
      const end = ends[segment]!;
      const window = windows[position + end + lag];
      if (!window) return 0;
      const [pvm, plm] = segmentCosineReference(window, segments[end]!);
      return mode === "pvm" ? pvm : mode === "plm" ? plm : (pvm + plm) / 2;
    }),
  );
}
