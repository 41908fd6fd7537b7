import type { Model } from "../../engine/model.ts";
import { noModel } from "../errors.ts";
import { post } from "../operation.ts";
import {
  detokenizeRequest,
  detokenizeResponse,
  tokenizeRequest,
  tokenizeResponse,
} from "../schemas/tokens.ts";
import type { Service } from "../service.ts";
import { tokenName } from "../token-names.ts";

/** `POST /tokenize`, as vLLM has it. */
export const tokenizeOperation = post({
  path: "/tokenize",
  id: "tokenize",
  tag: "OpenAI",
  summary: "The tokens of a text (as vLLM)",
  body: tokenizeRequest,
  example: () => ({ prompt: "Once upon a time" }),
  answer: tokenizeResponse,
  openAi: true,
  guarded: true,
  handle: async (c, service, { model: name, prompt, add_special_tokens, return_token_strs }) => {
    const model = modelNamed(service, name);
    const tokens = await model.encode(prompt, { special: add_special_tokens });
    return c.json({
      count: tokens.length,
      max_model_len: model.facts.positions,
      tokens,
      token_strs: return_token_strs ? tokens.map((token) => tokenName(model, token)) : null,
    });
  },
});

/** `POST /detokenize`, as vLLM has it. */
export const detokenizeOperation = post({
  path: "/detokenize",
  id: "detokenize",
  tag: "OpenAI",
  summary: "The text of tokens, special ones too (as vLLM)",
  body: detokenizeRequest,
  example: () => ({ tokens: [1, 2, 3] }),
  answer: detokenizeResponse,
  openAi: true,
  guarded: true,
  handle: async (c, service, { model: name, tokens }) =>
    c.json({ prompt: textOf(modelNamed(service, name), tokens) }),
});

/** @throws ApiError `not_found` if the request names another model */
function modelNamed(service: Service, name: string | null | undefined): Model {
  const { model } = service;
  if (name == null || name === model.name) return model;
  throw noModel(name);
}

/** The text of tokens, in which special ones are written as the tokenizer writes them. */
function textOf(model: Model, tokens: readonly number[]): string {
  const { tokenizer } = model;
  if (!tokenizer) return "";
  let text = "";
  let plain: number[] = [];
  const flush = (): void => {
    text += tokenizer.decode(plain);
    plain = [];
  };
  for (const token of tokens) {
    if (!tokenizer.specialIds.has(token)) {
      plain.push(token);
      continue;
    }
    flush();
    text += tokenName(model, token);
  }
  flush();
  return text;
}
