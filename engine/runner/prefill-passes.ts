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

/** The maximum size of the logits of a pass, in bytes. It limits `logitRows`. */
const LOGIT_BYTES = 64 * 2 ** 20;

export interface PassOptions extends FeedOptions {
  /** Whether to measure the metrics of SPEC §4. Default false. */
  readonly measure?: boolean;
  /** Dispatches to run after the logits are computed. */
  readonly after?: readonly Dispatch[];
}

/**
 * Passes over many given tokens of one or more streams: prompts, and texts to be scored. All passes use the same
 * activations, one after another.
 */
export class PrefillPasses {
  /** The maximum number of rows of one {@link pass}, which computes logits for each. */
  readonly logitRows: number;
  readonly #on: PassContext;
  readonly #activations: Activations;
  readonly #feed: TokenFeed;
  readonly #passes = new Map<string, readonly Dispatch[]>();
  readonly #heads = new Map<string, readonly Dispatch[]>();

  /** @param rows the maximum number of tokens in a pass */
  constructor(on: PassContext, rows: number) {
    const { gpu, network, bias, memory, vocabulary } = on;
    this.#on = on;
    const room = Math.floor(LOGIT_BYTES / (4 * vocabulary));
    // The head is one dispatch, which no submission cuts.
    const brief = Math.floor(gpu.submissionWork / (2 * vocabulary * network.weights.shape.size));
    this.logitRows = Math.max(1, Math.min(rows, room, Math.max(CHUNK, brief)));
    this.#activations = memory.of("prompts", () => on.activations(rows, 1, this.logitRows));
    this.#feed = new TokenFeed(gpu, network, this.#activations, bias);
  }

  /** The tokens per {@link pass} of a longer text: whole chunks of the scan, if {@link logitRows} allows one. */
  get passLength(): number {
    return Math.floor(this.logitRows / CHUNK) * CHUNK || this.logitRows;
  }

  /** Returns the workspace of passes, to build dispatches on. `pool` replaces the state pool of the runner. */
  workspace(variant: PassVariant = PLAIN, pool?: StatePool): Workspace {
    return this.#on.workspace(this.#activations, variant, "prefill", pool);
  }

  /** Returns the dispatches from tokens to h. */
  toH(variant: PassVariant): readonly Dispatch[] {
    const { memory, passes } = this.#on;
    return kept(this.#passes, `${variant.measure} ${variant.bias}`, () =>
      memory.of("prompts", () => passes.prefillPass(this.workspace(variant))),
    );
  }

  /** Returns the dispatches from h to logits. */
  #head(bias: boolean): readonly Dispatch[] {
    const { memory, passes } = this.#on;
    return kept(this.#heads, `${bias}`, () =>
      memory.of("prompts", () => passes.prefillHead(this.workspace({ ...PLAIN, bias }))),
    );
  }

  /** Submits a list built on {@link workspace}. See `TokenFeed.submit`. */
  submit(
    list: readonly Dispatch[],
    streams: readonly StreamPlace[],
    tokens: ArrayLike<number>,
    options?: FeedOptions,
  ): PassOutputs {
    return this.#feed.submit(list, streams, tokens, options);
  }

  /**
   * Feeds `tokens` as streams of `length` tokens in the slots from `slot` on, each from `position` on. The outputs hold the
   * logits of every row, with the readout's bias if `readoutScale` is above 0, and its metrics if `measure` is set.
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
