import { ResonantError } from "../errors.ts";
import type { Model } from "../model.ts";
import type { Weights } from "../weights.ts";
import { tokenFeatures } from "./features.ts";
import { Matcher, type RetrievalMode } from "./matcher.ts";
import { readDecay } from "./memory-window.ts";
import { byRank, type Peak } from "./peaks.ts";

/** A peak, and the index of the cue that it resembles. */
export interface Hit {
  readonly peak: Peak;
  readonly cue: number;
}

/** Compares a context, told token by token, with cues. What it keeps does not depend on the context's length. */
export interface Search {
  /** A peak that a push brings to {@link peaks} begins at most this many tokens before the first of that push. */
  readonly reach: number;
  /** Bytes of the numbers it keeps now. */
  readonly bytes: number;
  /** Takes the next tokens of the context. */
  push(tokens: Uint32Array): Promise<void>;
  /** The best so far, best first, none overlapping another; of equals the first cue's. */
  peaks(): Hit[];
  /** The context ends: one shorter than a cue is one window. */
  finish(): Promise<void>;
  /** How far a similarity with a cue stands out of the context so far, in [0, 1]. */
  confidence(similarity: number, cue: number): number;
  /** Lets go of what it holds on the GPU. */
  close(): void;
}

export interface SearchOptions {
  /** The tokens of each, at least one. */
  readonly cues: readonly (readonly number[])[];
  readonly mode: RetrievalMode;
  /** Most peaks that {@link Search.peaks} tells. */
  readonly capacity: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * A search with a model's memories.
 * @throws ResonantError `invalid_argument` naming `retrieval_mode` if the model lacks that memory; the signal's reason,
 * from `push` too
 */
export async function openSearch(
  model: Pick<Model, "gpu" | "weights">,
  options: SearchOptions,
): Promise<Search> {
  const { gpu, weights } = model;
  const { cues, mode, capacity, signal } = options;
  expectMemory(weights, mode);
  const features = await tokenFeatures(gpu, weights, cues.flat(), signal);
  const decay = await readDecay(gpu, weights);
  const matchers = cues.map(
    (cue) =>
      new Matcher(
        decay,
        mode,
        cue.map((token) => features.get(token)!),
        capacity,
      ),
  );
  return new WindowSearch(model, matchers, options);
}

function expectMemory({ shape }: Weights, mode: RetrievalMode): void {
  const lacks = (mode !== "plm" && !shape.pvm) || (mode !== "pvm" && !shape.lattice);
  if (!lacks) return;
  const has = [...(shape.pvm ? ["pvm"] : []), ...(shape.lattice ? ["plm"] : [])];
  throw new ResonantError("invalid_argument", `the model has no memory for ${JSON.stringify(mode)}`, {
    where: "retrieval_mode",
    fix: has.length > 0 ? `Use ${has.join(", ")}` : "Use a model with a memory",
  });
}

/** Tokens between two looks at the event loop and the signal. */
const STRETCH = 4096;

/** The windowed states in plain f64, one token after another. */
class WindowSearch implements Search {
  readonly reach: number;
  readonly #model: Pick<Model, "gpu" | "weights">;
  readonly #matchers: readonly Matcher[];
  readonly #signal: AbortSignal | undefined;
  readonly #capacity: number;
  /** Each matcher's peaks, as they become final. */
  readonly #found: readonly (readonly Peak[])[];

  constructor(
    model: Pick<Model, "gpu" | "weights">,
    matchers: readonly Matcher[],
    { cues, capacity, signal }: SearchOptions,
  ) {
    this.#model = model;
    this.#matchers = matchers;
    this.#signal = signal;
    this.#capacity = capacity;
    // A peak is final when a window comes that does not overlap it, whose last token is 2k − 1 after its first.
    this.reach = 2 * Math.max(...cues.map((cue) => cue.length));
    // A matcher that has seen nothing may be asked, and goes on filling the list that it gives.
    this.#found = matchers.map((matcher) => matcher.finish());
  }

  get bytes(): number {
    return 8 * this.#matchers.reduce((sum, matcher) => sum + matcher.numbers, 0);
  }

  async push(tokens: Uint32Array): Promise<void> {
    const { gpu, weights } = this.#model;
    for (let start = 0; start < tokens.length; start += STRETCH) {
      this.#signal?.throwIfAborted();
      const stretch = tokens.subarray(start, start + STRETCH);
      const features = await tokenFeatures(gpu, weights, stretch, this.#signal);
      for (const token of stretch) {
        const u = features.get(token)!;
        for (const matcher of this.#matchers) matcher.push(u);
      }
      await macrotask();
    }
  }

  peaks(): Hit[] {
    const ranked = this.#found
      .flatMap((list, cue) => list.map((peak): Hit => ({ peak, cue })))
      .sort((a, b) => b.peak.similarity - a.peak.similarity || a.cue - b.cue || byRank(a.peak, b.peak));
    const taken: Hit[] = [];
    for (const candidate of ranked) {
      const { position, length } = candidate.peak;
      const free = taken.every(
        ({ peak }) => position >= peak.position + peak.length || peak.position >= position + length,
      );
      if (free) taken.push(candidate);
      if (taken.length === this.#capacity) break;
    }
    return taken;
  }

  async finish(): Promise<void> {
    for (const matcher of this.#matchers) matcher.finish();
  }

  confidence(similarity: number, cue: number): number {
    return this.#matchers[cue]!.confidence(similarity);
  }

  close(): void {}
}

/** Lets the event loop turn. */
const macrotask = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));
