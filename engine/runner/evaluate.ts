import { ResonantError } from "../../common/errors.ts";
import { crossEntropy } from "../../kernels/cross-entropy/cross-entropy.ts";
import { checkTokens } from "../check-tokens.ts";
import { checkSamplingOptions } from "../sampling-options.ts";
import type { Runner } from "./runner.ts";

export interface EvaluateOptions {
  /**
   * Tokens per window. Each window starts from an empty state, its last target is the first token of the next window, and
   * an incomplete last window is dropped. Undefined: the text is one stream.
   */
  readonly window?: number | undefined;
  /** λ of the readout's logit bias (SPEC §5), as in `generate`. Default 0. */
  readonly readoutScale?: number | undefined;
  /** Called with the number of tokens done and the total. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A measured loss (SPEC §7). */
export interface Evaluation {
  /** Nats per token. */
  readonly loss: number;
  /** The number of predicted tokens. */
  readonly tokens: number;
  readonly window: number | null;
}

/**
 * Returns the mean of −ln p over the tokens, where p is the probability of a token given those before it.
 * @throws ResonantError `invalid_argument` for a bad window, scale or token, or if there is no token to predict; `model` if
 * the loss is not finite; the signal's reason when it is aborted
 */
export async function evaluate(
  runner: Runner,
  tokens: ArrayLike<number>,
  { window, readoutScale, onProgress, signal }: EvaluateOptions,
): Promise<Evaluation> {
  checkSamplingOptions({ readoutScale });
  runner.biases(readoutScale);
  if (window !== undefined && !(Number.isInteger(window) && window > 0)) {
    throw new ResonantError("invalid_argument", `${window} is no whole number above 0`, { option: "window" });
  }
  const targets = tokens.length - 1;
  const length = window ?? targets;
  const total = window ? Math.floor(targets / window) * window : targets;
  if (!(total > 0)) {
    const wanted = window ? `a window of ${window} needs ${window + 1}` : "a stream needs 2";
    throw new ResonantError("invalid_argument", `${tokens.length} tokens, and ${wanted}`, {
      option: "tokens",
    });
  }
  const ids = Uint32Array.from(tokens);
  const vocabulary = runner.weights.head.rows;
  checkTokens(vocabulary, ids, "tokens");
  const { gpu, prefill } = runner;
  const { logitRows } = prefill;
  // Short windows share a pass, as streams in adjacent slots. A long window is cut at chunk boundaries of the scan.
  const width = length <= logitRows ? length : prefill.passLength;
  const streams = Math.min(Math.max(1, Math.floor(logitRows / length)), total / length, runner.pool.free);
  const slot = runner.pool.take(streams);
  const loss = gpu.storage("loss", logitRows * 4);
  const { logits, results } = prefill.workspace().a;
  const after = [crossEntropy(gpu, vocabulary, { logits, targets: results, loss })];
  let sum = 0;
  try {
    for (let start = 0, rows = 0; start < total; start += rows) {
      signal?.throwIfAborted();
      const into = start % length;
      const each = Math.min(width, length - into);
      rows = each * (each === length ? Math.min(streams, (total - start) / length) : 1);
      if (into === 0) runner.pool.clear(slot, streams);
      const targets = ids.slice(start + 1, start + rows + 1);
      prefill.pass(slot, into, ids.subarray(start, start + rows), each, { after, readoutScale, targets });
      for (const value of await gpu.readFloats(loss, 0, rows)) sum += value;
      onProgress?.(start + rows, total);
    }
  } finally {
    runner.pool.give(slot, streams);
    loss.destroy();
  }
  if (!Number.isFinite(sum)) throw new ResonantError("model", "the loss is not finite");
  return { loss: sum / total, tokens: total, window: window ?? null };
}
