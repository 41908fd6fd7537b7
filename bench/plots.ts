import type { Report } from "./harness/report.ts";

/** Plots of a report, each by what its file's name ends with. */
export function benchPlots(_report: Report): Map<string, string> {
  return new Map();
}
