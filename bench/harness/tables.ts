import { type GroupedRow, groups } from "./case.ts";
import type { Compared } from "./compare.ts";
import type { Row } from "./row.ts";

/** A table with its heading; the first line holds the names of the columns. */
export interface Table {
  readonly heading: string;
  readonly lines: readonly (readonly string[])[];
}

const byGroup = <T>(rows: readonly T[], of: (row: T) => GroupedRow["group"]) =>
  groups.flatMap((group) => {
    const own = rows.filter((row) => of(row) === group);
    return own.length > 0 ? [{ group, own }] : [];
  });

/** Returns one table per group: the figures, their quartiles, and their share of the nearest ceiling. */
export function reportTables(rows: readonly GroupedRow[]): Table[] {
  return byGroup(rows, ({ group }) => group).map(({ group, own }) => {
    const rates = own.some(({ bytesPerSecond }) => bytesPerSecond !== undefined);
    const flops = own.some(({ flopsPerSecond }) => flopsPerSecond !== undefined);
    const shares = own.some(({ share }) => share !== undefined);
    const head = ["", "median", "quartiles", ""];
    return {
      heading: group,
      lines: [
        [
          ...head,
          ...(rates ? ["GB/s"] : []),
          ...(flops ? ["GFLOP/s"] : []),
          ...(shares ? ["share", "ceiling"] : []),
        ],
        ...own.map((row) => [
          row.name,
          readable(row.value),
          quartiles(row),
          row.unit,
          ...(rates ? [billions(row.bytesPerSecond)] : []),
          ...(flops ? [billions(row.flopsPerSecond)] : []),
          ...(shares ? [row.share === undefined ? "" : percent(row.share), row.bound ?? ""] : []),
        ]),
      ],
    };
  });
}

/** Returns one table per group, with each figure beside its earlier value. */
export function comparedTables(rows: readonly Compared[]): Table[] {
  return byGroup(rows, ({ row }) => row.group).map(({ group, own }) => ({
    heading: group,
    lines: [
      ["", "before", "now", "", "better"],
      ...own.map(({ row, base, ratio, apart }) => [
        row.name,
        readable(base.value),
        readable(row.value),
        row.unit,
        Number.isFinite(ratio) ? `${ratio.toFixed(2)} ×${apart ? "" : " ~"}` : "",
      ]),
    ],
  }));
}

/** Formats a number with four significant digits, or all digits if it is an integer. */
export const readable = (value: number): string =>
  (Number.isInteger(value) ? value : Number(value.toPrecision(4))).toLocaleString("en", {
    maximumFractionDigits: 6,
  });

const quartiles = ({ low, high }: Row): string => (low === high ? "" : `${three(low)}–${three(high)}`);

const three = (value: number): string =>
  Number(value.toPrecision(3)).toLocaleString("en", { maximumFractionDigits: 6 });

const billions = (value: number | undefined): string => (value === undefined ? "" : three(value / 1e9));

const percent = (share: number): string => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
