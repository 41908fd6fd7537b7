/** Fewest segments that a cue of enough tokens falls into: so many votes outweigh those that damage turns. */
const SEGMENTS = 8;
/** Least and most tokens of a segment. One token alone needs no memory; of more the lattice forgets the first. */
const [SHORTEST, LONGEST] = [2, 32];

/** How cues are cut. */
export interface Segments {
  /** Tokens of every segment: a power of two. */
  readonly span: number;
  /** Of each cue, the last token of every segment, in order: the first segment starts it, and the last one ends it. */
  readonly ends: readonly (readonly number[])[];
}

/**
 * Tokens of a segment, for cues of so many tokens: the shortest decides. It falls into 8 to 15 segments if it has 16 to 511
 * tokens, into fewer if it has less and more if it has more.
 */
function spanOf(lengths: readonly number[]): number {
  const shortest = Math.min(...lengths);
  const power = 2 ** Math.floor(Math.log2(Math.max(1, shortest / SEGMENTS)));
  return Math.min(shortest, Math.max(SHORTEST, Math.min(LONGEST, power)));
}

/**
 * Cuts cues into segments of equal length, which cover them; where the length does not divide a cue's, they overlap.
 * @param lengths tokens of each cue, at least 1
 * @param span tokens of a segment, at most the shortest cue's; by default as many as suit the shortest
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
