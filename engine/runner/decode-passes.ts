import type { Dispatch } from "../../kernels/kernel.ts";
import { tileBatchFor } from "../../kernels/linear/linear.ts";
import { logprobs, logprobsWorkspaceBytes, TOP_LOGPROBS } from "../../kernels/logprobs/logprobs.ts";
import { sample } from "../../kernels/sample/sample.ts";
import { type SampleWorkspace, sampleWorkspace } from "../../kernels/sample/sample-buffers.ts";
import { sharesRows } from "../../kernels/vocabulary-parts.ts";
import type { Activations } from "./activations.ts";
import { LogitAdjustments } from "./logit-adjustments.ts";
import { kept, type PassContext, type PassVariant, PLAIN } from "./pass-context.ts";

export interface DecodeVariant extends PassVariant {
  /** Whether every stream takes its most likely token. */
  readonly greedy: boolean;
  /** The number of most likely tokens whose log-probability is computed, with each token's own; 0: none at all. */
  readonly logprobs: number;
  /** Whether a stream's logits are adjusted before it draws. */
  readonly adjusted?: boolean;
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
  readonly #logitLists = new Map<string, Omit<DecodeLists, "step">>();
  readonly #draws = new Map<string, readonly Dispatch[]>();
  readonly adjustments: LogitAdjustments;
  #workspace: SampleWorkspace | undefined;
  #candidates: GPUBuffer | undefined;

  /** @param slots the maximum number of streams in a step */
  constructor(on: PassContext, slots: number, maxSteps: number, tiledFrom: number) {
    this.#on = on;
    this.#tiledFrom = tiledFrom;
    const { gpu, vocabulary, memory } = on;
    this.activations = memory.of("steps", () => on.activations(slots, maxSteps, slots));
    this.adjustments = new LogitAdjustments(on, this.activations);
    if (sharesRows(gpu, vocabulary)) {
      memory.of("steps", () => {
        const storage = (label: string, bytes: number): GPUBuffer => gpu.storage(label, bytes);
        this.#workspace = sampleWorkspace(vocabulary, slots, storage);
        this.#candidates = storage("candidates", logprobsWorkspaceBytes(vocabulary, slots, TOP_LOGPROBS));
      });
    }
    for (const measure of [false, true]) this.lists({ ...PLAIN, measure, greedy: false, logprobs: 0 });
  }

  /** Returns the lists of a step of `streams` streams. */
  lists({ measure, bias, greedy, logprobs, adjusted = false }: DecodeVariant, streams = 1): DecodeLists {
    const tiles = streams < this.#tiledFrom ? undefined : tileBatchFor(streams);
    const pass = `${measure} ${bias} ${tiles}`;
    const drawn = `${greedy} ${logprobs} ${adjusted}`;
    return kept(this.#lists, `${pass} ${drawn}`, () => {
      const { logits, head } = kept(this.#logitLists, pass, () => this.#logits({ measure, bias }, streams));
      const draw = kept(this.#draws, drawn, () => this.#draw(greedy, logprobs, adjusted));
      return { logits, step: [...logits, ...draw], head: [...head, ...draw] };
    });
  }

  /** The lists of a pass as far as the logits; `head` begins at h. */
  #logits(variant: PassVariant, streams: number): Omit<DecodeLists, "step"> {
    const { passes, memory } = this.#on;
    return memory.of("steps", () => {
      const on = this.#on.workspace(this.activations, variant, tileBatchFor(streams));
      const logits = passes.decodeStep(on, streams < this.#tiledFrom ? "row" : "tiles");
      return { logits, head: passes.decodeHead(on) };
    });
  }

  /** From the logits to the next token, and to its log-probability and those of the `entries` most likely ones, if any. */
  #draw(greedy: boolean, entries: number, adjusted: boolean): readonly Dispatch[] {
    const { gpu, vocabulary, pool, memory } = this.#on;
    const a = this.activations;
    const adjust = adjusted ? this.adjustments.step : undefined;
    return memory.of("steps", () => {
      const logits = adjust?.logits ?? a.logits;
      const buffers = { ...a, logits, counts: pool.counts, workspace: this.#workspace };
      const draw = [
        ...(adjust ? [adjust.dispatch] : []),
        ...sample(gpu, vocabulary, a.layers, buffers, greedy),
      ];
      if (entries === 0) return draw;
      return [...draw, ...logprobs(gpu, vocabulary, { ...a, candidates: this.#candidates }, entries)];
    });
  }
}
