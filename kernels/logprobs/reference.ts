import type { Logprobs } from "./logprobs.ts";

/**
 * `ln softmax(logits)` of `token` and of the `top` most likely tokens, largest logit first, among equals the lower token
 * first: `logits [vocabulary]` of one row.
 */
export function logprobsReference(logits: ArrayLike<number>, token: number, top: number): Logprobs {
  const all = Array.from(logits);
  const peak = Math.max(...all);
  const logSum = Math.log(all.reduce((sum, logit) => sum + Math.exp(logit - peak), 0));
  const of = (v: number) => ({ token: v, logprob: all[v]! - peak - logSum });
  const order = [...all.keys()].sort((a, b) => all[b]! - all[a]! || a - b);
  return { ...of(token), top: order.slice(0, top).map(of) };
}
