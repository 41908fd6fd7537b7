import { ResonantError } from "../errors.ts";
import type { Model } from "../model.ts";
import type { Weights } from "../weights.ts";
import { tokenFeatures } from "./features.ts";
import { Matcher, type RetrievalMode } from "./matcher.ts";
import { readDecay } from "./memory-window.ts";
import { byRank, type Peak } from "./peaks.ts";
import { TokenSpans } from "./token-spans.ts";

export type { RetrievalMode } from "./matcher.ts";

/** What of a model retrieval needs. */
export type RetrievalModel = Pick<Model, "gpu" | "weights" | "tokenizer" | "encode" | "tokenBytes">;

export interface RetrieveOptions {
  /** The text that is searched, of any length. */
  readonly context: string;
  /** What is looked for. */
  readonly needle: string;
  /** Looked for in the needle's place. */
  readonly query?: string | undefined;
  readonly mode: RetrievalMode;
  /** Most matches that come back. */
  readonly topK: number;
  readonly signal?: AbortSignal | undefined;
}

/** A place in the context. */
export interface Match {
  /** `context.slice(start, end)`. */
  readonly text: string;
  /** Index of its first token. */
  readonly position: number;
  /** UTF-16 offsets in the context; never within a character. */
  readonly start: number;
  readonly end: number;
  /** Cosine with the cue's signature: 1 for equal tokens, at least −1 (`plm`: 0). */
  readonly similarity: number;
  /** How far that stands out of this context's background, in [0, 1]: see `Background`. */
  readonly confidence: number;
}

export interface Retrieval {
  /** Best first, none overlapping another; at least one. */
  readonly matches: readonly Match[];
  /** Tokens of the context. */
  readonly tokens: number;
}

/** Tokens between two looks at the event loop and the signal. */
const STRETCH = 4096;

/** A cue may also stand at a word's start: tokenizers that merge write it otherwise there. */
interface Cue {
  readonly tokens: readonly number[];
  /** Whether a space was put before what the caller gave, which is then no part of the match. */
  readonly spaced: boolean;
}

/**
 * Finds where a context resembles a needle (SPEC §5). Features of single tokens drive the first block's memories; the
 * state that the last k tokens alone leave there is compared, at every token, with the state that the k tokens of the
 * needle leave. Besides the context and its tokens it keeps O(k·D) numbers, and each token's feature once.
 * @throws ResonantError `invalid_argument` naming `context`, `needle`, `query` or `top_k` if it is empty or out of range,
 * or `retrieval_mode` if the model lacks that memory; the signal's reason
 */
export async function retrieve(model: RetrievalModel, options: RetrieveOptions): Promise<Retrieval> {
  const { context, needle, query, mode, topK, signal } = options;
  signal?.throwIfAborted();
  const { gpu, weights } = model;
  expectMemory(weights, mode);
  if (!(Number.isInteger(topK) && topK > 0)) {
    throw new ResonantError("invalid_argument", `${topK} is no whole number above 0`, { where: "top_k" });
  }
  const tokens = encode(model, context, "context");
  const cues = encodeCues(model, needle, "needle");
  const used = query === undefined ? cues : encodeCues(model, query, "query");

  const features = await tokenFeatures(
    gpu,
    weights,
    [tokens, ...used.map((cue) => cue.tokens)].flat(),
    signal,
  );
  const decay = await readDecay(gpu, weights);
  // A match of one cue hides at most a few of the other's.
  const matchers = used.map(
    (cue) =>
      new Matcher(
        decay,
        mode,
        cue.tokens.map((token) => features.get(token)!),
        4 * topK,
      ),
  );
  for (let t = 0; t < tokens.length; t++) {
    if (t % STRETCH === STRETCH - 1) {
      await macrotask();
      signal?.throwIfAborted();
    }
    const u = features.get(tokens[t]!)!;
    for (const matcher of matchers) matcher.push(u);
  }

  const spans = new TokenSpans(context, tokens, (token) => model.tokenBytes(token));
  const matches = best(
    matchers.map((matcher) => matcher.finish()),
    topK,
  ).map(({ peak, cue }): Match => {
    const { similarity } = peak;
    const place = placeOf(context, spans, peak, used[cue]!.spaced);
    return { ...place, similarity, confidence: matchers[cue]!.confidence(similarity) };
  });
  return { matches, tokens: tokens.length };
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

function encode(model: RetrievalModel, text: string, where: string): number[] {
  if (text === "") throw new ResonantError("invalid_argument", "is empty", { where });
  const tokens = model.encode(text);
  if (tokens.length > 0) return tokens;
  throw new ResonantError("invalid_argument", "holds nothing this tokenizer has a token for", { where });
}

/** The text as it is, and with a space before it (without, if it has one), where that makes a difference. */
function encodeCues(model: RetrievalModel, text: string, where: string): Cue[] {
  const special = model.tokenizer?.specialIds ?? new Set();
  // What a tokenizer puts around a text is not around a needle within one.
  const own = (tokens: readonly number[]): readonly number[] => {
    const first = tokens.findIndex((token) => !special.has(token));
    return first < 0 ? tokens : tokens.slice(first, tokens.findLastIndex((token) => !special.has(token)) + 1);
  };
  const plain = { tokens: own(encode(model, text, where)), spaced: false };
  const spaced = !text.startsWith(" ");
  const other = spaced ? ` ${text}` : text.slice(1);
  const tokens = own(model.encode(other));
  if (tokens.length === 0 || `${tokens}` === `${plain.tokens}`) return [plain];
  return [plain, { tokens, spaced }];
}

/** The best peaks of all cues that overlap no better one; of equals the first cue's. */
function best(peaks: readonly (readonly Peak[])[], topK: number): { peak: Peak; cue: number }[] {
  const ranked = peaks
    .flatMap((list, cue) => list.map((peak) => ({ peak, cue })))
    .sort((a, b) => b.peak.similarity - a.peak.similarity || a.cue - b.cue || byRank(a.peak, b.peak));
  const taken: typeof ranked = [];
  for (const candidate of ranked) {
    const { position, length } = candidate.peak;
    const free = taken.every(
      ({ peak }) => position >= peak.position + peak.length || peak.position >= position + length,
    );
    if (free) taken.push(candidate);
    if (taken.length === topK) break;
  }
  return taken;
}

function placeOf(
  context: string,
  spans: TokenSpans,
  { position, length }: Peak,
  spaced: boolean,
): Pick<Match, "text" | "position" | "start" | "end"> {
  const [start, end] = spans.span(position, length);
  if (!spaced || context[start] !== " " || start + 1 >= end) {
    return { text: context.slice(start, end), position, start, end };
  }
  const onlySpace = spans.span(position, 1)[1] === start + 1;
  return {
    text: context.slice(start + 1, end),
    position: position + Number(onlySpace),
    start: start + 1,
    end,
  };
}

/** Lets the event loop turn. */
const macrotask = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));
