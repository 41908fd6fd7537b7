import { type Dispatch, dispatch, Kernel, type KernelHost, type PassBuffers } from "../kernel.ts";
import best from "../lib/best.wgsl";
import logprob from "../lib/logprob.wgsl";
import order from "../lib/order.wgsl";
import reduce from "../lib/reduce.wgsl";
import run from "../lib/run.wgsl";
import { stridedSum } from "../strided-sum.ts";
import { vocabularyParts } from "../vocabulary-parts.ts";
import source from "./logprobs.wgsl";
import merge from "./logprobs-merge.wgsl";
import parts from "./logprobs-parts.wgsl";

const kernel = new Kernel("logprobs", run, reduce, order, logprob, source);
const partsKernel = new Kernel("logprobs-parts", order, best, parts);
const mergeKernel = new Kernel("logprobs-merge", run, best, logprob, stridedSum, merge);

/** The largest number of most likely tokens given for each row. */
export const TOP_LOGPROBS = 20;

/** As many as are given where no more are asked for: each one is another look at the vocabulary. */
export const FEW_LOGPROBS = 5;

/** The number of most likely tokens that is computed if `top` are asked for. */
export const entriesFor = (top: number): number => (top > FEW_LOGPROBS ? TOP_LOGPROBS : FEW_LOGPROBS);

/** Marks an entry without a token. */
const NO_TOKEN = 0xffffffff;

/** Bytes of one row's result with so many entries. */
export const logprobsBytes = (entries: number): number => 8 * (1 + entries);

/** ln of a token's probability under the softmax of the model's own logits: no penalty, no temperature. */
export interface TokenLogprob {
  readonly token: number;
  /** Nats, at most 0. */
  readonly logprob: number;
}

/** Of the token that was chosen. */
export interface Logprobs extends TokenLogprob {
  /** The most likely tokens, most likely first; among equals the lower id first. */
  readonly top: readonly TokenLogprob[];
}

/** The result that begins at `offset`, with the `top` most likely tokens; undefined if the row's logits are not all finite. */
export function decodeLogprobs(bytes: ArrayBuffer, offset: number, top: number): Logprobs | undefined {
  const view = new DataView(bytes, offset, logprobsBytes(top));
  const entry = (i: number): TokenLogprob => ({
    token: view.getUint32(8 * i, true),
    logprob: view.getFloat32(8 * i + 4, true),
  });
  const own = entry(0);
  if (own.token === NO_TOKEN) return undefined;
  const likely = Array.from({ length: top }, (_, i) => entry(1 + i));
  return { ...own, top: likely.filter(({ token }) => token !== NO_TOKEN) };
}

export interface LogprobsBuffers extends PassBuffers {
  /** `[rows, vocabulary]`. */
  readonly logits: GPUBuffer;
  /** `[steps, rows]` u32: the token of each row. */
  readonly results: GPUBuffer;
  /**
   * `[steps, rows, 1 + entries]` of (token u32, ln p f32), written: the row's own token, then the most likely ones.
   * Entries are token 0xFFFFFFFF with 0 where there are no more tokens, or where the logits are not all finite.
   */
  readonly logprobs: GPUBuffer;
  /**
   * {@link logprobsWorkspaceBytes}: if given, many workgroups share a row (see `sharesRows`), with the same results to the
   * bit; without it, each row has a workgroup.
   */
  readonly candidates?: GPUBuffer | undefined;
}

/** Bytes of `candidates` for so many rows: `[rows, parts, entries]` of `Best` of `lib/best.wgsl`. */
export const logprobsWorkspaceBytes = (vocabulary: number, rows: number, entries: number): number =>
  12 * entries * vocabularyParts(vocabulary).parts * rows;

/** ln softmax(logits) of each row's token and of its `entries` most likely ones (see {@link entriesFor}). */
export function logprobs(
  host: KernelHost,
  vocabulary: number,
  { run, schedule, logits, results, logprobs, candidates }: LogprobsBuffers,
  entries = FEW_LOGPROBS,
): readonly Dispatch[] {
  const overrides = { VOCAB: vocabulary, TOP: entries };
  if (!candidates) {
    const buffers = [run, schedule, logits, results, logprobs];
    return [dispatch(host, kernel, overrides, buffers, ({ rows }) => [rows, 1])];
  }
  const { part, parts } = vocabularyParts(vocabulary);
  return [
    dispatch(host, partsKernel, { ...overrides, PART: part }, [logits, candidates], ({ rows }) => [
      parts,
      rows,
    ]),
    dispatch(
      host,
      mergeKernel,
      { ...overrides, PARTS: parts },
      [run, schedule, logits, results, candidates, logprobs],
      ({ rows }) => [rows, 1],
    ),
  ];
}
