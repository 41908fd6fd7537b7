import { type Dispatch, dispatch, Kernel, type KernelHost, type PassBuffers } from "../kernel.ts";
import order from "../lib/order.wgsl";
import reduce from "../lib/reduce.wgsl";
import run from "../lib/run.wgsl";
import source from "./logprobs.wgsl";

const kernel = new Kernel("logprobs", run, reduce, order, source);

/** The number of most likely tokens given for each row. */
export const TOP_LOGPROBS = 5;

/** Marks an entry without a token. */
const NO_TOKEN = 0xffffffff;

/** Bytes of one row's result. */
export const LOGPROBS_BYTES = 8 * (1 + TOP_LOGPROBS);

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

/**
 * A row's result, {@link LOGPROBS_BYTES} from `offset` on, with the `top` most likely tokens; undefined if its logits are
 * not all finite.
 */
export function decodeLogprobs(bytes: ArrayBuffer, offset: number, top: number): Logprobs | undefined {
  const view = new DataView(bytes, offset, LOGPROBS_BYTES);
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
   * `[steps, rows, 1 + TOP_LOGPROBS]` of (token u32, ln p f32), written: the row's own token, then the most likely ones.
   * Entries are token 0xFFFFFFFF with 0 where there are no more tokens, or where the logits are not all finite.
   */
  readonly logprobs: GPUBuffer;
}

/** ln softmax(logits) of each row's token and of its {@link TOP_LOGPROBS} most likely ones. */
export function logprobs(host: KernelHost, vocabulary: number, buffers: LogprobsBuffers): Dispatch {
  return dispatch(
    host,
    kernel,
    { VOCAB: vocabulary, TOP: TOP_LOGPROBS },
    [buffers.run, buffers.schedule, buffers.logits, buffers.results, buffers.logprobs],
    ({ rows }) => [rows, 1],
  );
}
