import * as v from "valibot";
import { whole } from "./fields.ts";

/** What an answer took, in OpenAI's words. */
export const usage = v.object({
  prompt_tokens: whole,
  completion_tokens: v.pipe(whole, v.description("Of all that were generated, given or not")),
  total_tokens: whole,
  prompt_tokens_details: v.object({
    cached_tokens: v.pipe(whole, v.description("Of the prompts, read before for a prompt that begins alike")),
  }),
});

export type Usage = v.InferOutput<typeof usage>;

/** @param cached of the prompt's tokens */
export const usageOf = (prompt: number, completion: number, cached: number): Usage => ({
  prompt_tokens: prompt,
  completion_tokens: completion,
  total_tokens: prompt + completion,
  prompt_tokens_details: { cached_tokens: cached },
});
