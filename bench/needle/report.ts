import type { ConditionResult, NeedleResult } from "./benchmark.ts";

/** Lines of cells; the first line holds the names of the columns. */
export type Lines = readonly (readonly string[])[];

/** Returns a title and a table of searchers for each source, context length and needle size. */
export function needleTables(
  results: readonly NeedleResult[],
): { readonly title: string; readonly table: Lines }[] {
  const blocks = grouped(results, ({ source, length, needle }) => `${source} ${length} ${needle}`);
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
          const row = (condition: ConditionResult["condition"]): ConditionResult | undefined =>
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

/** Groups elements with the same key, in the order of each group's first element. */
export function grouped<T>(list: readonly T[], key: (each: T) => string): T[][] {
  const groups = new Map<string, T[]>();
  for (const each of list) {
    const group = groups.get(key(each)) ?? [];
    groups.set(key(each), group);
    group.push(each);
  }
  return [...groups.values()];
}

/** Explains the columns of the tables. */
export const LEGEND =
  "clean to spacing: % of trials with the first match, and with one of five, within 2 tokens of the needle\n" +
  "similarity: the lowest similarity of a clean needle's first match\n" +
  "off by: tokens from the first match to the needle, mean (median), if there is a match\n" +
  "AUC: area under the ROC curve of confidence, present against absent needles\n" +
  "ms, memory: one search for one clean needle; index ms: preparation, once per context\n";

/** Writes a size such as `16` or `48b` in words. */
export const sizeInWords = (name: string): string =>
  name.endsWith("b") ? `${name.slice(0, -1)} bytes` : `${name} tokens`;

const percent = (share: number): string => (100 * share).toFixed(0);
const hits = (row: ConditionResult | undefined): string =>
  row ? `${percent(row.hit1)} ${percent(row.hit5)}` : "–";
const auc = (row: ConditionResult | undefined): string =>
  row && !Number.isNaN(row.auc) ? row.auc.toFixed(3) : "–";
const off = (row: ConditionResult | undefined): string =>
  row && row.found > 0 ? `${round(row.meanError)} (${round(row.medianError)})` : "–";
const similarity = (row: ConditionResult | undefined): string =>
  row && !Number.isNaN(row.leastSimilarity) ? row.leastSimilarity.toFixed(3) : "–";
const round = (value: number): string => (value < 10 ? value.toFixed(1).replace(".0", "") : value.toFixed(0));
const precise = (value: number): string =>
  value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(3);

function bytes(count: number): string {
  if (count < 1000) return `${count.toFixed(0)} B`;
  return count < 1e6 ? `${(count / 1e3).toFixed(1)} kB` : `${(count / 1e6).toFixed(1)} MB`;
}

/** Returns the results as JSON values: names with underscores, null for NaN. */
export const needleJson = (results: readonly NeedleResult[]): unknown[] =>
  results.map(({ source, length, needle, searcher, reference, ms, indexMs, workingBytes, rows }) => ({
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
