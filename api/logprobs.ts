import type { Model } from "../engine/model.ts";
import { Utf8Decoder } from "../engine/text/utf8-decoder.ts";
import type { ScoredToken } from "./continuations.ts";
import type { ChatLogprobs } from "./schemas/chat.ts";
import type { Logprobs } from "./schemas/completions.ts";
import { characters } from "./schemas/fields.ts";

/** A token's text, or `bytes:\xe2\x82` where its bytes are no whole text. */
function nameOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return `bytes:${Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}`;
  }
}

/** Log-probabilities of a text's tokens in the shape of OpenAI's completions, with each token's place in the text. */
export class LogprobsWriter {
  readonly #model: Model;
  readonly #decoder = new Utf8Decoder();
  #offset = 0;

  constructor(model: Model) {
    this.#model = model;
  }

  /** The next tokens; the first of a prompt has no probability. */
  write(tokens: readonly ScoredToken[]): Logprobs {
    const name = (token: number): string => nameOf(this.#model.tokenBytes(token));
    return {
      tokens: tokens.map(({ token }) => name(token)),
      token_logprobs: tokens.map(({ logprobs }) => logprobs?.logprob ?? null),
      top_logprobs: tokens.map(({ logprobs }) =>
        logprobs
          ? Object.fromEntries(logprobs.top.map(({ token, logprob }) => [name(token), logprob]))
          : null,
      ),
      text_offset: tokens.map(({ token }) => {
        const offset = this.#offset;
        this.#offset += characters(this.#decoder.push(this.#model.tokenBytes(token)));
        return offset;
      }),
    };
  }

  /** Parts of one text as a whole; null where there are none. */
  static join(parts: readonly (Logprobs | null)[]): Logprobs | null {
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

/** Log-probabilities of generated tokens in the shape of OpenAI's chats. */
export function chatLogprobs(model: Model, tokens: readonly ScoredToken[]): ChatLogprobs {
  const told = (token: number, logprob: number) => {
    const bytes = model.tokenBytes(token);
    return { token: nameOf(bytes), logprob, bytes: Array.from(bytes) };
  };
  return {
    content: tokens.map(({ token, logprobs }) => ({
      ...told(token, logprobs!.logprob),
      top_logprobs: logprobs!.top.map((each) => told(each.token, each.logprob)),
    })),
    refusal: null,
  };
}

/** Parts of one message as a whole; null where there are none. */
export function joinChatLogprobs(parts: readonly (ChatLogprobs | null)[]): ChatLogprobs | null {
  const written = parts.filter((part) => part !== null);
  return written.length === 0 ? null : { content: written.flatMap(({ content }) => content), refusal: null };
}
