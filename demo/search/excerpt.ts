/** A stretch of a text. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

export interface Excerpt {
  readonly before: string;
  readonly match: string;
  readonly after: string;
}

/** The largest number of UTF-16 units of a match that an excerpt shows. */
const MOST = 160;

/** A stretch with its context, on one line. The context begins and ends with whole words where possible. */
export function excerpt(text: string, { start, end }: Range, around = 48): Excerpt {
  const from = cutAt(text, Math.max(0, start - around));
  const to = cutAt(text, Math.min(text.length, end + around));
  const before =
    from > 0 ? `…${text.slice(from, start).replace(/^\S{0,15}(?=\s)/, "")}` : text.slice(0, start);
  const after =
    to < text.length ? `${text.slice(end, to).replace(/(?<=\s)\S{0,15}$/, "")}…` : text.slice(end);
  const half = MOST / 2;
  const match =
    end - start <= MOST
      ? text.slice(start, end)
      : `${text.slice(start, cutAt(text, start + half))} … ${text.slice(cutAt(text, end - half), end)}`;
  return { before: onLine(before), match: onLine(match), after: onLine(after) };
}

const onLine = (text: string): string => text.replace(/\s+/g, " ");

/** The index, moved back by one if it falls within a surrogate pair. */
export const cutAt = (text: string, index: number): number =>
  index > 0 && (text.codePointAt(index - 1) ?? 0) > 0xffff ? index - 1 : index;

/** A stretch of a text that belongs to one match or to none. */
export interface Run extends Range {
  /** The match's index. */
  readonly match: number | undefined;
}

/** Cuts a stretch of a text at the borders of matches, which do not overlap. */
export function runsOf({ start, end }: Range, matches: readonly Range[]): Run[] {
  const runs: Run[] = [];
  let at = start;
  const within = [...matches.entries()]
    .filter(([, match]) => match.start < end && match.end > start)
    .sort(([, a], [, b]) => a.start - b.start);
  for (const [index, match] of within) {
    const [from, to] = [Math.max(at, match.start), Math.min(end, match.end)];
    if (from > at) runs.push({ start: at, end: from, match: undefined });
    if (to > from) runs.push({ start: from, end: to, match: index });
    at = Math.max(at, to);
  }
  if (end > at) runs.push({ start: at, end, match: undefined });
  return runs;
}
