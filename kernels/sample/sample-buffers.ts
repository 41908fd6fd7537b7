import type { PassBuffers } from "../kernel.ts";
import { vocabularyParts } from "../vocabulary-parts.ts";

export interface SampleBuffers extends PassBuffers {
  /** `[rows]` of `encodeSampling`. */
  readonly sampling: GPUBuffer;
  /** `[rows, vocabulary]`. */
  readonly logits: GPUBuffer;
  /** `[slots, vocabulary]` u32: how often each token has been fed to each stream. */
  readonly counts: GPUBuffer;
  /** `[steps, rows, layers, 4]`; read only if a phase temperature is set. */
  readonly metrics: GPUBuffer;
  /** `[rows]` u32, written: the token that the next step feeds. */
  readonly tokens: GPUBuffer;
  /** `[steps, rows]` u32, written; `NOT_FINITE` where logits or probabilities are not. */
  readonly results: GPUBuffer;
  /** If given, many workgroups share a row (see `sharesRows`); without it, each row has a workgroup. */
  readonly workspace?: SampleWorkspace | undefined;
}

/** What the four kernels leave to each other, for at most as many rows as it was made for. */
export interface SampleWorkspace {
  /** `[rows, vocabulary]` f32: logits after the repetition penalty. */
  readonly scores: GPUBuffer;
  /** `[rows, vocabulary]` u32: probabilities in units of 2⁻³¹. */
  readonly masses: GPUBuffer;
  /** `[rows, parts]` of `Best` of `lib/best.wgsl`. */
  readonly parts: GPUBuffer;
  /** `[rows, parts, 256]` of (count, mass) u32. */
  readonly bins: GPUBuffer;
  /** `[rows]` of `SampledRow` of `lib/sampled-row.wgsl`. */
  readonly sampled: GPUBuffer;
}

/** @param storage makes a storage buffer of so many bytes */
export function sampleWorkspace(
  vocabulary: number,
  rows: number,
  storage: (label: string, bytes: number) => GPUBuffer,
): SampleWorkspace {
  const { parts } = vocabularyParts(vocabulary);
  return {
    scores: storage("scores", 4 * rows * vocabulary),
    masses: storage("masses", 4 * rows * vocabulary),
    parts: storage("best of parts", 12 * rows * parts),
    bins: storage("bins of masses", 8 * 256 * rows * parts),
    sampled: storage("sampled rows", 28 * rows),
  };
}
