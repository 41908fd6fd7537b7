import type { Profile } from "../engine/protocol.ts";

/** Colours from the page's own shade (t = 0) to the strongest contrast (t = 1), even in OKLCH lightness and hue. */
export function heatColour(t: number, dark: boolean): string {
  const [lightness, hue] = dark ? [0.25 + 0.68 * t, 255 - 160 * t] : [0.95 - 0.62 * t, 95 + 165 * t];
  return `oklch(${lightness.toFixed(4)} ${(0.02 + 0.1 * t).toFixed(4)} ${hue.toFixed(2)})`;
}

/** A range of similarities. */
export interface HeatRange {
  readonly low: number;
  readonly high: number;
}

/**
 * The ends of the colour scale: 1 means equal tokens; values below the profile's median, rounded down to a multiple of
 * 0.05, are background and have the page's own shade.
 */
export function heatRange({ similarity }: Profile): HeatRange {
  const known = similarity.filter((value) => !Number.isNaN(value)).sort();
  const median = known[Math.floor(known.length / 2)] ?? 0;
  return { low: Math.min(0.95, Math.floor(20 * median) / 20), high: 1 };
}

/** A similarity's position on the scale, in [0, 1]. */
export const onScale = (similarity: number, { low, high }: HeatRange): number =>
  Math.min(1, Math.max(0, (similarity - low) / (high - low)));

/** A match as the strip draws it. */
export interface Stretch {
  readonly start: number;
  readonly end: number;
  readonly similarity: number;
}

/**
 * The best similarity in each of a number of equally wide columns of a text: from the parts of the profile, and from the
 * matches, each drawn over its whole length and at least `least` columns wide. NaN where nothing is known.
 */
export function stripColumns(
  { offsets, similarity }: Profile,
  matches: readonly Stretch[],
  characters: number,
  columns: number,
  least: number,
): Float32Array {
  const best = new Float32Array(columns).fill(Number.NaN);
  const raise = (start: number, end: number, value: number, width: number): void => {
    const from = Math.min(columns - width, Math.floor((start * columns) / characters));
    const to = Math.max(from + width, Math.ceil((end * columns) / characters));
    for (let column = Math.max(0, from); column < Math.min(columns, to); column++) {
      if (!(best[column]! >= value)) best[column] = value;
    }
  };
  similarity.forEach((value, part) => {
    raise(offsets[part]!, offsets[part + 1] ?? characters, value, 1);
  });
  for (const { start, end, similarity } of matches) raise(start, end, similarity, least);
  return best;
}

/** The similarity of the part in which a character lies, NaN where it is not known. */
export function similarityAt({ offsets, similarity }: Profile, character: number): number {
  const next = offsets.findIndex((offset) => offset > character);
  return similarity[(next < 0 ? offsets.length : next) - 1] ?? Number.NaN;
}

/** Round positions (1, 2 or 5 times a power of ten apart) in a text of the given length, at most `most` of them. */
export function axisTicks(characters: number, most: number): number[] {
  const least = Math.max(1, characters / most);
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map((digit) => digit * power).find((size) => size >= least)!;
  return Array.from({ length: Math.ceil(characters / step) }, (_, i) => i * step);
}

/** The row of each pin, chosen so that pins in a row do not overlap, as far as `rows` rows allow. */
export function pinRows(places: readonly number[], width: number, rows: number): number[] {
  const ends = new Array<number>(rows).fill(Number.NEGATIVE_INFINITY);
  const row = new Array<number>(places.length);
  for (const pin of [...places.keys()].sort((a, b) => places[a]! - places[b]!)) {
    const free = ends.findIndex((end) => end <= places[pin]!);
    row[pin] = free < 0 ? ends.indexOf(Math.min(...ends)) : free;
    ends[row[pin]!] = places[pin]! + width;
  }
  return row;
}
