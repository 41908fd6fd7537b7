/** The least number of segments of a cue with enough tokens: enough that undamaged segments outvote damaged ones. */
const SEGMENTS = 8;
/** The range of tokens per segment. One token alone needs no memory; beyond the maximum the lattice forgets the first. */
const [SHORTEST, LONGEST] = [2, 32];

/** Cues cut into segments. */
export interface Segments {
  /** The number of tokens in every segment: a power of two. */
  readonly span: number;
  /** For each cue, the index of the last token of every segment, in order. Together the segments cover the cue. */
  readonly ends: readonly (readonly number[])[];
}

/**
 * Returns the tokens per segment, chosen for the shortest cue. It has 8 to 15 segments if it has 16 to 511 tokens, fewer if
 * it has fewer tokens, and more if it has more.
 */
function spanOf(lengths: readonly number[]): number {
  const shortest = Math.min(...lengths);
  const power = 2 ** Math.floor(Math.log2(Math.max(1, shortest / SEGMENTS)));
  return Math.min(shortest, Math.max(SHORTEST, Math.min(LONGEST, power)));
}

/**
 * Cuts cues into segments of equal length that cover them. They overlap if the length does not divide that of the cue.
 * @param lengths the number of tokens of each cue, at least 1
 * @param span tokens per segment, at most the length of the shortest cue. Default: suits the shortest cue
 */
export function cutSegments(lengths: readonly number[], span = spanOf(lengths)): Segments {
  const ends = lengths.map((length) => {
    const count = Math.ceil(length / span);
    return Array.from(
      { length: count },
      (_, i) => span - 1 + (count > 1 ? Math.round((i * (length - span)) / (count - 1)) : 0),
    );
  });
  return { span, ends };
}
