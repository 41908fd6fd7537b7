import { ResonantError } from "../../common/errors.ts";
import type { Dispatch } from "../../kernels/kernel.ts";
import { CHUNK } from "../../kernels/memory-scan/memory-scan.ts";
import type { StreamPlace } from "../../kernels/run.ts";
import type { Workspace } from "../forward.ts";
import type { StatePool } from "../state/state-pool.ts";
import type { Activations } from "./activations.ts";
import { kept, type PassContext, type PassVariant, PLAIN } from "./pass-context.ts";
import type { PassOutputs } from "./pass-outputs.ts";
import { type FeedOptions, TokenFeed } from "./token-feed.ts";

/** Most bytes of logits; a pass that would give more is cut into smaller ones. */
const LOGIT_BYTES = 64 * 2 ** 20;

export interface PassOptions extends FeedOptions {
  /** Default false. */
  readonly measure?: boolean;
  /** Dispatches to follow the logits. */
  readonly after?: readonly Dispatch[];
}

/**
 * Passes over many given tokens of one or more streams: of prompts, and of texts to be scored. All work in the same
 * activations, one after another.
 */
export class Prefill {
  /** Rows whose logits one {@link pass} can give. */
  readonly logitRows: number;
  readonly #on: PassContext;
  readonly #activations: Activations;
  readonly #feed: TokenFeed;
  readonly #passes = new Map<string, readonly Dispatch[]>();
  readonly #heads = new Map<string, readonly Dispatch[]>();

  /** @param rows most tokens of a pass */
  constructor(on: PassContext, rows: number) {
    const { gpu, network, bias, memory, vocabulary } = on;
    this.#on = on;
    this.logitRows = Math.max(1, Math.min(rows, Math.floor(LOGIT_BYTES / (4 * vocabulary))));
    this.#activations = memory.of("prompts", () => on.activations(rows, 1, this.logitRows));
    this.#feed = new TokenFeed(gpu, network, this.#activations, bias);
  }

  /** Most tokens of one {@link pass} of a longer text: it ends where the scan's chunks do, if it gives so many logits. */
  get passLength(): number {
    return Math.floor(this.logitRows / CHUNK) * CHUNK || this.logitRows;
  }

  /** What passes work in, to build dispatches on, with the states of `pool` in the place of the runner's. */
  workspace(variant: PassVariant = PLAIN, pool?: StatePool): Workspace {
    return this.#on.workspace(this.#activations, variant, "prefill", pool);
  }

  /** Dispatches from tokens to h. */
  toH(variant: PassVariant): readonly Dispatch[] {
    const { memory, passes } = this.#on;
    return kept(this.#passes, `${variant.measure} ${variant.bias}`, () =>
      memory.of("prompts", () => passes.prefillPass(this.workspace(variant))),
    );
  }

  /** Dispatches from h to logits. */
  #head(bias: boolean): readonly Dispatch[] {
    const { memory, passes } = this.#on;
    return kept(this.#heads, `${bias}`, () =>
      memory.of("prompts", () => passes.prefillHead(this.workspace({ ...PLAIN, bias }))),
    );
  }

  /** Submits a list built on {@link workspace}, as `TokenFeed.submit` does. */
  submit(
    list: readonly Dispatch[],
    streams: readonly StreamPlace[],
    tokens: ArrayLike<number>,
    options?: FeedOptions,
  ): PassOutputs {
    return this.#feed.submit(list, streams, tokens, options);
  }

  /**
   * Feeds `tokens` as streams of `length` tokens from `slot` on, each at `position`, and leaves logits and metrics of
   * every row, the readouts' bias included where there is one.
   * @throws ResonantError `invalid_argument` for more than {@link logitRows} tokens
   */
  pass(
    slot: number,
    position: number,
    tokens: ArrayLike<number>,
    length: number,
    { measure = false, after = [], ...options }: PassOptions = {},
  ): PassOutputs {
    if (tokens.length > this.logitRows) {
      throw new ResonantError(
        "invalid_argument",
        `${tokens.length} tokens, but a pass gives ${this.logitRows} rows of logits`,
      );
    }
    const bias = this.#on.bias.applies(options.readoutScale);
    const list = [...this.toH({ measure, bias }), ...this.#head(bias), ...after];
    const streams = Array.from({ length: tokens.length / length }, (_, i) => ({ slot: slot + i, position }));
    return this.submit(list, streams, tokens, options);
  }
}
