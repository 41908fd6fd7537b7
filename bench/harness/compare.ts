import type { GroupedRow } from "./case.ts";
import type { Report } from "./report.ts";

/** A figure and its earlier value. */
export interface Compared {
  readonly row: GroupedRow;
  readonly base: GroupedRow;
  /** How many times better the new figure is; below 1 it is worse. Infinite or NaN if one of them is 0. */
  readonly ratio: number;
  /** Whether the ranges between their quartiles do not overlap. */
  readonly apart: boolean;
}

const keyOf = ({ group, name, unit }: GroupedRow): string => `${group}\n${name}\n${unit}`;

/** Returns the rows that both reports have, in the order of `now`, and the number of rows that only one of them has. */
export function compareReports(
  now: Report,
  base: Report,
): { rows: Compared[]; onlyNow: number; onlyBase: number } {
  const earlier = new Map(base.rows.map((row) => [keyOf(row), row]));
  const rows = now.rows.flatMap((row): Compared[] => {
    const before = earlier.get(keyOf(row));
    if (!before) return [];
    const ratio = row.better === "higher" ? row.value / before.value : before.value / row.value;
    return [{ row, base: before, ratio, apart: row.low > before.high || row.high < before.low }];
  });
  return { rows, onlyNow: now.rows.length - rows.length, onlyBase: base.rows.length - rows.length };
}

/** Describes differences of the conditions that make two reports hard to compare. */
export function differences(now: Report, base: Report): string[] {
  return [
    ...(now.adapter === base.adapter ? [] : [`the adapter was ${base.adapter}, and is ${now.adapter}`]),
    ...(now.quick === base.quick ? [] : [`only one of them was taken with --quick`]),
  ];
}
