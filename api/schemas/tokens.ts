import * as v from "valibot";
import { flag, list, object, text, tokenId, whole } from "./fields.ts";
import { type Limits, modelNames } from "./limits.ts";

const model = (limits: Limits) =>
  v.nullish(v.pipe(v.string("a string"), v.metadata(modelNames(limits)), v.description("Id of the model")));

/** Body of `POST /tokenize`. */
export const tokenizeRequest = (limits: Limits) =>
  v.pipe(
    object(
      {
        model: model(limits),
        prompt: text(0, limits.promptChars, "Text to encode"),
        add_special_tokens: v.nullish(flag("Add the tokens that the tokenizer puts around a text"), true),
        return_token_strs: v.nullish(flag("Return each token's text too"), false),
      },
      "a JSON object",
    ),
    v.title("TokenizeRequest"),
  );

/** Answer of `POST /tokenize`. */
export const tokenizeResponse = v.pipe(
  v.object({
    count: whole,
    max_model_len: v.pipe(v.nullable(whole), v.description("Maximum number of tokens; null: unlimited")),
    tokens: v.array(whole),
    token_strs: v.nullable(v.array(v.string())),
  }),
  v.title("Tokens"),
);

/** Body of `POST /detokenize`. */
export const detokenizeRequest = (limits: Limits) =>
  v.pipe(
    object(
      {
        model: model(limits),
        tokens: list(tokenId(limits.vocabulary), 0, limits.promptChars, "token ids"),
      },
      "a JSON object",
    ),
    v.title("DetokenizeRequest"),
  );

/** Answer of `POST /detokenize`. */
export const detokenizeResponse = v.pipe(v.object({ prompt: v.string() }), v.title("Text"));
