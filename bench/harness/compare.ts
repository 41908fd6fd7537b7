import type { GroupedRow } from "./case.ts";
import type { Report } from "./report.ts";

/** A figure beside an earlier one. */
export interface Compared {
  readonly row: GroupedRow;
  readonly base: GroupedRow;
  /** How many times better it is now; below 1 worse. Infinite or NaN where one of them is 0. */
  readonly ratio: number;
  /** Whether their quartiles leave no doubt that it has changed. */
  readonly apart: boolean;
}

const keyOf = ({ group, name, unit }: GroupedRow): string => `${group}\n${name}\n${unit}`;

/** The rows that both have, in the order of the newer one, and how many stand in one of them alone. */
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

/** What makes two reports hard to compare, for people. */
export function differences(now: Report, base: Report): string[] {
  return [
    ...(now.adapter === base.adapter ? [] : [`the adapter was ${base.adapter}, and is ${now.adapter}`]),
    ...(now.quick === base.quick ? [] : [`one of them was taken with --quick`]),
  ];
}
