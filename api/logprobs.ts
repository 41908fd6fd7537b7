import type { Model } from "../engine/model.ts";
import { TokenOffsets } from "../engine/text/token-offsets.ts";
import type { ScoredToken } from "./continuations.ts";
import type { ChatLogprobs } from "./schemas/chat.ts";
import type { CompletionLogprobs } from "./schemas/completions.ts";
import { tokenName } from "./token-names.ts";

/** Converts log-probabilities to the format of OpenAI's completions, with each token's offset in the text. */
export class LogprobsWriter {
  readonly #model: Model;
  readonly #offsets = new TokenOffsets();

  constructor(model: Model) {
    this.#model = model;
  }

  /** Converts the text's next tokens. The first token of a prompt has no probability. */
  write(tokens: readonly ScoredToken[]): CompletionLogprobs {
    const name = (token: number): string => tokenName(this.#model, token);
    return {
      tokens: tokens.map(({ token }) => name(token)),
      token_logprobs: tokens.map(({ logprobs }) => logprobs?.logprob ?? null),
      // The token itself is always there, so that there may be one more than was asked for.
      top_logprobs: tokens.map(({ logprobs }) =>
        logprobs
          ? Object.fromEntries(
              [...logprobs.top, logprobs].map(({ token, logprob }) => [name(token), logprob]),
            )
          : null,
      ),
      text_offset: tokens.map(({ token }) => this.#offsets.next(this.#model.tokenBytes(token))),
    };
  }

  /** Ends the prompt's text. The text after it is decoded on its own. */
  endPrompt(): void {
    this.#offsets.end();
  }

  /** Joins the parts of one text; null if there are no log-probabilities. */
  static join(parts: readonly (CompletionLogprobs | null)[]): CompletionLogprobs | null {
    const written = parts.filter((part) => part !== null);
    if (written.length === 0) return null;
    return {
      tokens: written.flatMap(({ tokens }) => tokens),
      token_logprobs: written.flatMap(({ token_logprobs }) => token_logprobs),
      top_logprobs: written.flatMap(({ top_logprobs }) => top_logprobs ?? []),
      text_offset: written.flatMap(({ text_offset }) => text_offset),
    };
  }
}

/** Converts log-probabilities of generated tokens to the format of OpenAI's chat completions. */
export function chatLogprobs(model: Model, tokens: readonly ScoredToken[]): ChatLogprobs {
  const scoreOf = (token: number, logprob: number) => {
    const bytes = model.tokenBytes(token);
    return { token: tokenName(model, token), logprob, bytes: Array.from(bytes) };
  };
  return {
    content: tokens.map(({ token, logprobs }) => ({
      ...scoreOf(token, logprobs!.logprob),
      top_logprobs: logprobs!.top.map((each) => scoreOf(each.token, each.logprob)),
    })),
    refusal: null,
  };
}

/** Joins the parts of one message; null if there are no log-probabilities. */
export function joinChatLogprobs(parts: readonly (ChatLogprobs | null)[]): ChatLogprobs | null {
  const written = parts.filter((part) => part !== null);
  return written.length === 0 ? null : { content: written.flatMap(({ content }) => content), refusal: null };
}
