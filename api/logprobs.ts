import type { Model } from "../engine/model.ts";
import { Utf8Decoder } from "../engine/text/utf8-decoder.ts";
import type { Logprobs as TokenLogprobs } from "../kernels/logprobs/logprobs.ts";
import type { Logprobs } from "./schemas/completions.ts";

/** Log-probabilities of a text's tokens in the shape of OpenAI's completions, with each token's place in the text. */
export class LogprobsWriter {
  readonly #model: Model;
  readonly #decoder = new Utf8Decoder();
  #offset = 0;

  constructor(model: Model) {
    this.#model = model;
  }

  /** The next tokens; the first of a prompt has no probability. */
  write(
    tokens: readonly { readonly token: number; readonly logprobs?: TokenLogprobs | undefined }[],
  ): Logprobs {
    return {
      tokens: tokens.map(({ token }) => this.#name(token)),
      token_logprobs: tokens.map(({ logprobs }) => logprobs?.logprob ?? null),
      top_logprobs: tokens.map(({ logprobs }) =>
        logprobs
          ? Object.fromEntries(logprobs.top.map(({ token, logprob }) => [this.#name(token), logprob]))
          : null,
      ),
      text_offset: tokens.map(({ token }) => {
        const offset = this.#offset;
        this.#offset += Array.from(this.#decoder.push(this.#model.tokenBytes(token))).length;
        return offset;
      }),
    };
  }

  /** Parts of one text as a whole. */
  static join(parts: readonly (Logprobs | null)[]): Logprobs {
    const written = parts.filter((part) => part !== null);
    return {
      tokens: written.flatMap(({ tokens }) => tokens),
      token_logprobs: written.flatMap(({ token_logprobs }) => token_logprobs),
      top_logprobs: written.flatMap(({ top_logprobs }) => top_logprobs ?? []),
      text_offset: written.flatMap(({ text_offset }) => text_offset),
    };
  }

  /** A token's text, or `bytes:\xe2\x82` where it is no whole text. */
  #name(token: number): string {
    const bytes = this.#model.tokenBytes(token);
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      return `bytes:${Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}`;
    }
  }
}
