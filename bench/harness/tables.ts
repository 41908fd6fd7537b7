import { type GroupedRow, groups } from "./case.ts";
import type { Compared } from "./compare.ts";
import type { Row } from "./row.ts";

/** A group's heading and its lines, the first of them the columns' names. */
export interface Table {
  readonly heading: string;
  readonly lines: readonly (readonly string[])[];
}

const byGroup = <T>(rows: readonly T[], of: (row: T) => GroupedRow["group"]) =>
  groups.flatMap((group) => {
    const own = rows.filter((row) => of(row) === group);
    return own.length > 0 ? [{ group, own }] : [];
  });

/** Each group's figures, their quartiles, and their share of the ceiling that they are nearest to. */
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
          ...(shares ? ["share", "of"] : []),
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

/** Each group's figures beside the earlier ones. */
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

/** Four digits; whole numbers whole. */
export const readable = (value: number): string =>
  (Number.isInteger(value) ? value : Number(value.toPrecision(4))).toLocaleString("en", {
    maximumFractionDigits: 6,
  });

const quartiles = ({ low, high }: Row): string => (low === high ? "" : `${three(low)}–${three(high)}`);

const three = (value: number): string =>
  Number(value.toPrecision(3)).toLocaleString("en", { maximumFractionDigits: 6 });

const billions = (value: number | undefined): string => (value === undefined ? "" : three(value / 1e9));

const percent = (share: number): string => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
