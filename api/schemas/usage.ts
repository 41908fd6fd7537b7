import * as v from "valibot";
import { whole } from "./fields.ts";

/** The number of tokens that an answer used, with OpenAI's field names. */
export const usage = v.object({
  prompt_tokens: whole,
  completion_tokens: v.pipe(
    whole,
    v.description("All generated tokens, including continuations that are not returned"),
  ),
  total_tokens: whole,
  prompt_tokens_details: v.object({
    cached_tokens: v.pipe(whole, v.description("Prompt tokens that were taken from the prefix cache")),
  }),
});

export type Usage = v.InferOutput<typeof usage>;

/** @param cached the number of prompt tokens that were taken from the prefix cache */
export const usageOf = (prompt: number, completion: number, cached: number): Usage => ({
  prompt_tokens: prompt,
  completion_tokens: completion,
  total_tokens: prompt + completion,
  prompt_tokens_details: { cached_tokens: cached },
});
