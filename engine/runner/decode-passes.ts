import type { Dispatch } from "../../kernels/kernel.ts";
import { tileBatchFor } from "../../kernels/linear/linear.ts";
import { logprobs } from "../../kernels/logprobs/logprobs.ts";
import { sample } from "../../kernels/sample/sample.ts";
import type { Activations } from "./activations.ts";
import { kept, type PassContext, type PassVariant, PLAIN } from "./pass-context.ts";

export interface DecodeVariant extends PassVariant {
  /** Whether the log-probability of each token is computed. */
  readonly logprobs: boolean;
}

/** The dispatches of a decode step, and of its parts. */
export interface DecodeLists {
  /** From the pending token to the logits. */
  readonly logits: readonly Dispatch[];
  /** From the pending token to the next token. */
  readonly step: readonly Dispatch[];
  /** From h to the next token. */
  readonly head: readonly Dispatch[];
}

/** Builds the dispatches of decode steps, and caches them for each variant. */
export class DecodePasses {
  readonly activations: Activations;
  readonly #on: PassContext;
  /** The least number of streams for which a step multiplies in tiles of rows. */
  readonly #tiledFrom: number;
  readonly #lists = new Map<string, DecodeLists>();
  #logprobs: Dispatch | undefined;

  /** @param slots the maximum number of streams in a step */
  constructor(on: PassContext, slots: number, maxSteps: number, tiledFrom: number) {
    this.#on = on;
    this.#tiledFrom = tiledFrom;
    this.activations = on.memory.of("steps", () => on.activations(slots, maxSteps, slots));
    for (const measure of [false, true]) this.lists({ ...PLAIN, measure, logprobs: false });
  }

  /** Returns the lists of a step of `streams` streams. */
  lists(variant: DecodeVariant, streams = 1): DecodeLists {
    const { measure, bias } = variant;
    const tiles = streams < this.#tiledFrom ? undefined : tileBatchFor(streams);
    const key = `${measure} ${bias} ${tiles}`;
    const lists = kept(this.#lists, key, () => this.#build({ measure, bias }, streams));
    if (!variant.logprobs) return lists;
    return kept(this.#lists, `${key} logprobs`, () => this.#withLogprobs(lists));
  }

  #build(variant: PassVariant, streams: number): DecodeLists {
    const { gpu, vocabulary, passes, pool, memory } = this.#on;
    const a = this.activations;
    return memory.of("steps", () => {
      const on = this.#on.workspace(a, variant, tileBatchFor(streams));
      const draw = sample(gpu, vocabulary, a.layers, { ...a, counts: pool.counts });
      const logits = passes.decodeStep(on, streams < this.#tiledFrom ? "row" : "tiles");
      return { logits, step: [...logits, draw], head: [...passes.decodeHead(on), draw] };
    });
  }

  #withLogprobs({ logits, step, head }: DecodeLists): DecodeLists {
    const { gpu, vocabulary, memory } = this.#on;
    const own = this.#logprobs ?? memory.of("steps", () => logprobs(gpu, vocabulary, this.activations));
    this.#logprobs = own;
    return { logits, step: [...step, own], head: [...head, own] };
  }
}
