import type { Group, Row } from "./benchmark.ts";

/** Columns of text, the first line their heads. */
export type Table = readonly (readonly string[])[];

/** For each source, length and needle what is compared, and a table of its searchers. */
export function needleTables(groups: readonly Group[]): { readonly title: string; readonly table: Table }[] {
  const blocks = grouped(groups, ({ source, length, needle }) => `${source} ${length} ${needle}`);
  return blocks.map((block) => {
    const { source, length, needle, reference, rows } = block[0]!;
    const conditions = rows.map(({ condition }) => condition);
    const shown = conditions.filter((condition) => condition !== "absent" && condition !== "damaged");
    const damaged = conditions.includes("damaged");
    const both = (none: string, other: string): string[] => (damaged ? [none, other] : [none]);
    return {
      title:
        `${length.toLocaleString("en")} ${source === "text" ? "tokens of text" : "random tokens"}, needles of ` +
        `${sizeInWords(needle)}, ${rows[0]?.trials} trials${reference ? " (the reference's protocol)" : ""}`,
      table: [
        [
          "",
          ...shown.map((condition) => (condition === "none" ? "clean" : condition)),
          "similarity",
          ...both("off by", "damaged"),
          ...both("AUC", "damaged"),
          "ms",
          "index ms",
          "memory",
        ],
        ...block.map(({ searcher, ms, indexMs, workingBytes, rows }) => {
          const row = (condition: Row["condition"]): Row | undefined =>
            rows.find((each) => each.condition === condition);
          return [
            searcher,
            ...shown.map((condition) => hits(row(condition))),
            similarity(row("none")),
            ...both(off(row("none")), off(row("damaged"))),
            ...both(auc(row("none")), auc(row("damaged"))),
            precise(ms),
            precise(indexMs),
            bytes(workingBytes),
          ];
        }),
      ],
    };
  });
}

/** Lists of those with the same key, in the order of their first. */
export function grouped<T>(list: readonly T[], key: (each: T) => string): T[][] {
  const groups = new Map<string, T[]>();
  for (const each of list) {
    const group = groups.get(key(each)) ?? [];
    groups.set(key(each), group);
    group.push(each);
  }
  return [...groups.values()];
}

/** How the tables are to be read. */
export const LEGEND =
  "clean to spacing: % of trials whose first place, and one of whose first five, is within 2 tokens of the needle\n" +
  "similarity: the least of a clean needle's first place\n" +
  "off by: tokens from the first place to the needle, mean (median), where anything was found\n" +
  "AUC: area under the ROC of confidence against absent needles\n" +
  "ms, memory: of one search for one clean needle; index ms: once for a context\n";

/** `16` or `48b` in words. */
export const sizeInWords = (name: string): string =>
  name.endsWith("b") ? `${name.slice(0, -1)} bytes` : `${name} tokens`;

const percent = (share: number): string => (100 * share).toFixed(0);
const hits = (row: Row | undefined): string => (row ? `${percent(row.hit1)} ${percent(row.hit5)}` : "–");
const auc = (row: Row | undefined): string => (row && !Number.isNaN(row.auc) ? row.auc.toFixed(3) : "–");
const off = (row: Row | undefined): string =>
  row && row.found > 0 ? `${round(row.meanError)} (${round(row.medianError)})` : "–";
const similarity = (row: Row | undefined): string =>
  row && !Number.isNaN(row.leastSimilarity) ? row.leastSimilarity.toFixed(3) : "–";
const round = (value: number): string => (value < 10 ? value.toFixed(1).replace(".0", "") : value.toFixed(0));
const precise = (value: number): string =>
  value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(3);

function bytes(count: number): string {
  if (count < 1000) return `${count.toFixed(0)} B`;
  return count < 1e6 ? `${(count / 1e3).toFixed(1)} kB` : `${(count / 1e6).toFixed(1)} MB`;
}

/** The groups as JSON has them: names with underscores, null for what there is not. */
export const needleJson = (groups: readonly Group[]): unknown[] =>
  groups.map(({ source, length, needle, searcher, reference, ms, indexMs, workingBytes, rows }) => ({
    source,
    length,
    needle,
    searcher,
    reference,
    ms: known(ms),
    index_ms: known(indexMs),
    working_bytes: known(workingBytes),
    rows: rows.map((row) => ({
      condition: row.condition,
      trials: row.trials,
      hit_1: known(row.hit1),
      hit_5: known(row.hit5),
      found: row.found,
      mean_error: known(row.meanError),
      median_error: known(row.medianError),
      auc: known(row.auc),
      median_confidence: known(row.medianConfidence),
      least_similarity: known(row.leastSimilarity),
    })),
  }));

const known = (value: number): number | null => (Number.isFinite(value) ? value : null);
