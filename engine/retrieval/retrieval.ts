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
  /** The text to search, of any length, whole or as a stream. */
  readonly context: TextSource;
  /** The text to find. */
  readonly needle: string;
  /** The text to find instead of the needle. */
  readonly query?: string | undefined;
  readonly mode: RetrievalMode;
  /** The maximum number of matches. */
  readonly topK: number;
  /** Report this many UTF-16 units of text before and after each match. Default 0: none. */
  readonly around?: number | undefined;
  /** Report the similarity along the context, in at most this many parts. Default: not reported. */
  readonly profile?: number | undefined;
  /** Return the tokens of the context, at 4 bytes each. Default false. */
  readonly keepTokens?: boolean | undefined;
  /** Called with the number of tokens and UTF-16 units searched so far. */
  readonly onProgress?: ((tokens: number, characters: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A place in the context, with its similarity. */
export interface Match extends Place {
  /** The mean cosine of the cue's segments with their best-matching places: 1 for equal tokens, at least −1. */
  readonly similarity: number;
  /** How clearly the similarity exceeds the background of this context, in [0, 1]: see `Background`. */
  readonly confidence: number;
}

export interface Retrieval {
  /** At least one match, best first. Matches do not overlap. */
  readonly matches: readonly Match[];
  /** The number of tokens in the context. */
  readonly tokens: number;
  /** The tokens that the best match resembles: those of the needle or query, or of it with or without a leading space. */
  readonly cue: readonly number[];
  /** Present if `RetrieveOptions.profile` is set. */
  readonly profile?: Profile;
  /** The tokens of the context, if `keepTokens` is set. */
  readonly contextTokens?: Uint32Array;
  /**
   * The peak memory of the search in bytes, for numbers and text. Excludes what the model keeps (token features) and the
   * returned tokens.
   */
  readonly workingBytes: number;
}

/** Peaks kept per match, since a peak of one cue may overlap several peaks of another. */
const SPARE = 4;

/** A token sequence to find. At the start of a word, merging tokenizers encode the same text differently. */
interface Cue {
  readonly tokens: readonly number[];
  /** Whether a space was added before the caller's text. It is then not part of the match. */
  readonly spaced: boolean;
}

/**
 * Finds where a context resembles a needle (SPEC §5). Features of single tokens drive the memories of the first block. At
 * every token, the states that the last few tokens alone produce are compared with those of the needle's segments, each
 * with its own lag of up to a few tokens (see the README of this folder). The context is processed as a stream, in memory
 * that does not depend on its length.
 * @throws ResonantError `invalid_argument` naming `context`, `needle`, `query`, `topK` or `profile` if it is empty, too long or out of range,
 * or `mode` if the model lacks that memory; the signal's reason; errors of the context's iterator
 */
export async function retrieve(model: RetrievalModel, options: RetrieveOptions): Promise<Retrieval> {
  const { context, needle, query, mode, topK, signal } = options;
  signal?.throwIfAborted();
  if (!(Number.isInteger(topK) && topK > 0)) {
    throw new ResonantError("invalid_argument", `${topK} is no whole number above 0`, { option: "topK" });
  }
  if (context === "") throw refusal("context", "is empty");
  const profile = options.profile === undefined ? undefined : new ProfileBuilder(options.profile);
  const cues = await encodeCues(model, needle, "needle");
  const used = query === undefined ? cues : await encodeCues(model, query, "query");
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

/** The maximum number of tokens in a cue, since the memory of the search grows with its square. */
const MOST_CUE_TOKENS = 16_384;

const NO_TOKENS = "holds nothing this tokenizer has a token for";

const refusal = (option: string, problem: string): ResonantError =>
  new ResonantError("invalid_argument", problem, { option });

async function encode(model: RetrievalModel, text: string, option: string): Promise<number[]> {
  if (text === "") throw refusal(option, "is empty");
  const tokens = await model.encode(text);
  if (tokens.length === 0) throw refusal(option, NO_TOKENS);
  if (tokens.length <= MOST_CUE_TOKENS) return tokens;
  throw refusal(option, `has ${tokens.length} tokens, and at most ${MOST_CUE_TOKENS} are looked for`);
}

/** Encodes the text as it is, and with a leading space added (or removed if it has one) if that changes the tokens. */
async function encodeCues(model: RetrievalModel, text: string, option: string): Promise<Cue[]> {
  const special = model.tokenizer?.specialIds ?? new Set();
  // Special tokens around a text do not occur around a needle within a text.
  const own = (tokens: readonly number[]): readonly number[] => {
    const first = tokens.findIndex((token) => !special.has(token));
    return first < 0 ? tokens : tokens.slice(first, tokens.findLastIndex((token) => !special.has(token)) + 1);
  };
  const plain = { tokens: own(await encode(model, text, option)), spaced: false };
  const spaced = !text.startsWith(" ");
  const other = spaced ? ` ${text}` : text.slice(1);
  const tokens = own(await model.encode(other));
  // If only a space token is added, the plain cue finds every match of the spaced one.
  if (tokens.length === 0 || [`${tokens}`, `${tokens.slice(1)}`].includes(`${plain.tokens}`)) return [plain];
  return [plain, { tokens, spaced }];
}
