import {
  decodeLogprobs,
  entriesFor,
  type Logprobs,
  logprobs,
  logprobsBytes,
} from "../../kernels/logprobs/logprobs.ts";
import { checkTokens } from "../check-tokens.ts";
import { checkSamplingOptions } from "../sampling-options.ts";
import { notFinite } from "./decode-run.ts";
import type { Runner } from "./runner.ts";

export interface ScoreOptions {
  /** Checked between passes. */
  readonly signal?: AbortSignal | undefined;
  /** λ of the readout's logit bias (SPEC §5), as in `generate`. Default 0. */
  readonly readoutScale?: number | undefined;
}

/**
 * Returns the log-probability, in nats, of each token after the first, given the tokens before it, and of the `top` (0 to 20)
 * most likely tokens at its position: `[tokens − 1]`. Starts from an empty state. Uses one slot of the state pool meanwhile.
 * @throws ResonantError `invalid_argument` for a bad token (option: `tokens`), count (option: `logprobs`) or scale,
 * `out_of_memory` if no slot is free, `model` if the logits are not finite; the signal's reason when it is aborted
 */
export async function score(
  runner: Runner,
  tokens: ArrayLike<number>,
  top = 0,
  { signal, readoutScale }: ScoreOptions = {},
): Promise<Logprobs[]> {
  const ids = Array.from(tokens);
  const { gpu, pool } = runner;
  const vocabulary = runner.weights.head.rows;
  checkSamplingOptions({ logprobs: top, readoutScale });
  runner.biases(readoutScale);
  checkTokens(vocabulary, ids, "tokens");
  const { prefill } = runner;
  const width = prefill.passLength;
  const entries = entriesFor(top);
  const after = logprobs(gpu, vocabulary, prefill.workspace().a, entries);
  const scores: Logprobs[] = [];
  const slot = pool.take();
  try {
    pool.clear(slot);
    for (let start = 0; start < ids.length - 1; start += width) {
      signal?.throwIfAborted();
      const targets = Uint32Array.from(ids.slice(start + 1, start + 1 + width));
      const rows = targets.length;
      const options = { after, readoutScale, targets };
      const outputs = prefill.pass(slot, start, ids.slice(start, start + rows), rows, options);
      const bytes = await outputs.read("logprobs", rows * logprobsBytes(entries));
      for (let row = 0; row < rows; row++) {
        const found = decodeLogprobs(bytes, row * logprobsBytes(entries), top);
        if (!found) throw notFinite();
        scores.push(found);
      }
    }
  } finally {
    pool.give(slot);
  }
  return scores;
}
