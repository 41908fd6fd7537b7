import { OUTCOMES } from "./ledger.ts";
import { growth, mean, type Sample, type SoakReport, tenths } from "./soak.ts";

const MEMORY: readonly [keyof Sample, string][] = [
  ["resident", "resident memory"],
  ["heap", "of it V8's heap in use"],
  ["external", "of it outside of the heap"],
  ["gpu", "GPU buffers"],
];

const least = (values: readonly number[]): number => Math.min(...values);

/** Formats the figures of a soak for people. */
export function told(report: SoakReport): string {
  const { ledger, samples, warmUpSeconds, taken, changed, complaints, exitCode, flows } = report;
  const columns = ["sent", ...OUTCOMES] as const;
  const kinds = [...ledger.kinds].sort(([a], [b]) => (a < b ? -1 : 1));
  const row = (name: string, cells: readonly (string | number)[]): string =>
    `${name.padEnd(36)}${cells.map((cell) => String(cell).padStart(10)).join("")}`;
  const megabytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);
  return [
    row("requests", columns),
    ...kinds.map(([kind, counts]) =>
      row(
        kind,
        columns.map((column) => counts[column]),
      ),
    ),
    row(
      "all",
      columns.map((column) => ledger.total[column]),
    ),
    "",
    row("MB, by tenths of the time", [...Array(10).keys(), "growth"]),
    ...MEMORY.flatMap(([of, name]) =>
      [mean, least].map((number) => {
        const values = tenths(samples, of, number);
        const change = `${(100 * (growth(values) - 1)).toFixed(2)} %`;
        return row(`${name}, ${number.name}`, [...values.map(megabytes), change]);
      }),
    ),
    "",
    `done: ${[...flows].map(([name, times]) => `${name} ${times}`).join(", ")}`,
    `warm-up ${warmUpSeconds.toFixed(0)} s, then ${samples.length} samples, one per second`,
    `in use at the end: ${JSON.stringify(taken)}; answers that differ from the start: ${changed.length}; exit status ${exitCode}`,
    ...complaints.slice(0, 20).map((line) => `the server's log: ${line}`),
    ...ledger.faults,
  ].join("\n");
}
