import { ResonantError } from "../../common/errors.ts";
import { type Place, Places } from "./places.ts";
import { type Profile, ProfileBuilder } from "./profile.ts";
import type { RetrievalMode, RetrievalModel } from "./retrieval-model.ts";
import { Search } from "./search.ts";
import type { TextSource } from "./text-source.ts";
import { TokenStream } from "./token-stream.ts";

export type { Surroundings } from "./places.ts";
export type { Profile } from "./profile.ts";
export type { RetrievalMode, RetrievalModel } from "./retrieval-model.ts";
export type { TextSource } from "./text-source.ts";

export interface RetrieveOptions {
  /** The text that is searched, of any length, whole or as it comes. */
  readonly context: TextSource;
  /** What is looked for. */
  readonly needle: string;
  /** Looked for in the needle's place. */
  readonly query?: string | undefined;
  readonly mode: RetrievalMode;
  /** Most matches that come back. */
  readonly topK: number;
  /** UTF-16 units of what stands before and after each match, to be told with it; default 0: nothing is told. */
  readonly around?: number | undefined;
  /** Tell the similarity along the context, in at most so many parts; default: it is not told. */
  readonly profile?: number | undefined;
  /** Hand out the context's tokens, which takes 4 bytes for each; default false. */
  readonly keepTokens?: boolean | undefined;
  /** Told of the tokens and UTF-16 units searched so far. */
  readonly onProgress?: ((tokens: number, characters: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A place in the context, and how it compares. */
export interface Match extends Place {
  /** Mean cosine of the cue's segments with the places they best agree with: 1 for equal tokens, at least −1. */
  readonly similarity: number;
  /** How far that stands out of this context's background, in [0, 1]: see `Background`. */
  readonly confidence: number;
}

export interface Retrieval {
  /** Best first, none overlapping another; at least one. */
  readonly matches: readonly Match[];
  /** Tokens of the context. */
  readonly tokens: number;
  /** The tokens that the best match resembles: the needle's or query's, or those of it with a space before it or without. */
  readonly cue: readonly number[];
  /** Where it was asked for. */
  readonly profile?: Profile;
  /** The context's, where they were to be kept. */
  readonly contextTokens?: Uint32Array;
  /**
   * The most bytes that it worked in at a time: numbers and text, but for what the model keeps (features of tokens) and
   * tokens that are handed out.
   */
  readonly workingBytes: number;
}

/** Peaks kept for each match that comes back: one of one cue may hide some of another's that were better before. */
const SPARE = 4;

/** A cue may also stand at a word's start: tokenizers that merge write it otherwise there. */
interface Cue {
  readonly tokens: readonly number[];
  /** Whether a space was put before what the caller gave, which is then no part of the match. */
  readonly spaced: boolean;
}

/**
 * Finds where a context resembles a needle (SPEC §5). Features of single tokens drive the first block's memories; the
 * states that a segment's tokens alone leave there are compared, at every token, with those of the needle's segments, each
 * at a lag of its own of up to a few tokens (see the folder's README). The context goes by: what is kept does not depend
 * on its length.
 * @throws ResonantError `invalid_argument` naming `context`, `needle`, `query`, `topK` or `profile` if it is empty, too long or out of range,
 * or `mode` if the model lacks that memory; the signal's reason; what the context's iterator throws
 */
export async function retrieve(model: RetrievalModel, options: RetrieveOptions): Promise<Retrieval> {
  const { context, needle, query, mode, topK, signal } = options;
  signal?.throwIfAborted();
  if (!(Number.isInteger(topK) && topK > 0)) {
    throw new ResonantError("invalid_argument", `${topK} is no whole number above 0`, { option: "topK" });
  }
  if (context === "") throw refusal("context", "is empty");
  const profile = options.profile === undefined ? undefined : new ProfileBuilder(options.profile);
  const cues = encodeCues(model, needle, "needle");
  const used = query === undefined ? cues : encodeCues(model, query, "query");
  const search = await Search.open(model, {
    cues: used.map(({ tokens }) => tokens),
    modes: [mode],
    capacity: SPARE * topK,
    profile,
    signal,
  });
  try {
    return await scan(model, search, used, profile, options);
  } finally {
    search.close();
  }
}

async function scan(
  model: RetrievalModel,
  search: Search,
  cues: readonly Cue[],
  profile: ProfileBuilder | undefined,
  { context, topK, around = 0, keepTokens = false, onProgress, signal }: RetrieveOptions,
): Promise<Retrieval> {
  const stream = new TokenStream(model, context, { signal });
  const places = new Places(search.reach, around);
  const ranked = () => search.peaks().map((hit) => ({ ...hit, spaced: cues[hit.cue]!.spaced }));
  const kept: Uint32Array[] = [];
  let [tokens, characters, most] = [0, 0, 0];
  for await (const block of stream.blocks()) {
    places.push(block);
    profile?.push(block.starts);
    const before = tokens;
    await search.push(block.tokens, (compared) => {
      const at = compared - before;
      if (at > 0 && at < block.starts.length) onProgress?.(compared, block.starts[at]!);
    });
    places.note(ranked());
    if (keepTokens) kept.push(block.tokens);
    tokens += block.tokens.length;
    characters = block.offset + block.text.length;
    most = Math.max(most, search.bytes + places.bytes);
    onProgress?.(tokens, characters);
  }
  if (tokens === 0) throw refusal("context", stream.bytes === 0 ? "is empty" : NO_TOKENS);
  await search.finish();
  const hits = ranked();
  places.note(hits);
  const found = hits.flatMap(({ peak, cue, spaced }) => {
    const place = places.at(peak, spaced);
    const { similarity } = peak;
    if (!place) return [];
    const confidence = search.ranking(cue).confidence(similarity);
    return [{ cue, match: { ...place, similarity, confidence } satisfies Match }];
  });
  return {
    matches: found.slice(0, topK).map(({ match }) => match),
    tokens,
    cue: cues[found[0]!.cue]!.tokens,
    ...(profile ? { profile: profile.profile } : {}),
    ...(keepTokens ? { contextTokens: joined(kept, tokens) } : {}),
    workingBytes: most + stream.bytes + (profile?.bytes ?? 0),
  };
}

function joined(parts: readonly Uint32Array[], length: number): Uint32Array {
  const whole = new Uint32Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Most tokens of what is looked for: what the search holds grows with their square. */
const MOST_CUE_TOKENS = 16_384;

const NO_TOKENS = "holds nothing this tokenizer has a token for";

const refusal = (option: string, problem: string): ResonantError =>
  new ResonantError("invalid_argument", problem, { option });

function encode(model: RetrievalModel, text: string, option: string): number[] {
  if (text === "") throw refusal(option, "is empty");
  const tokens = model.encode(text);
  if (tokens.length === 0) throw refusal(option, NO_TOKENS);
  if (tokens.length <= MOST_CUE_TOKENS) return tokens;
  throw refusal(option, `has ${tokens.length} tokens, and at most ${MOST_CUE_TOKENS} are looked for`);
}

/** The text as it is, and with a space before it (without, if it has one), where that makes a difference. */
function encodeCues(model: RetrievalModel, text: string, option: string): Cue[] {
  const special = model.tokenizer?.specialIds ?? new Set();
  // What a tokenizer puts around a text is not around a needle within one.
  const own = (tokens: readonly number[]): readonly number[] => {
    const first = tokens.findIndex((token) => !special.has(token));
    return first < 0 ? tokens : tokens.slice(first, tokens.findLastIndex((token) => !special.has(token)) + 1);
  };
  const plain = { tokens: own(encode(model, text, option)), spaced: false };
  const spaced = !text.startsWith(" ");
  const other = spaced ? ` ${text}` : text.slice(1);
  const tokens = own(model.encode(other));
  // A space of its own in front adds nothing: where that cue stands, the plain one does.
  if (tokens.length === 0 || [`${tokens}`, `${tokens.slice(1)}`].includes(`${plain.tokens}`)) return [plain];
  return [plain, { tokens, spaced }];
}
