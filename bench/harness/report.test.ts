import { describe, expect, it } from "vitest";
import { benchPlots } from "../plots.ts";
import type { GroupedRow } from "./case.ts";
import { compareReports, differences } from "./compare.ts";
import { parseReport, type Report, reportName } from "./report.ts";
import { less, more } from "./row.ts";
import { comparedTables, reportTables } from "./tables.ts";

const around = (median: number) => ({ median, low: 0.9 * median, high: 1.1 * median });

const kernel: GroupedRow = {
  group: "kernels",
  ...less("add, 768, 1 row", around(20), "µs", {
    share: 0.25,
    bound: "dispatch",
    timed: "gpu",
    bytesPerSecond: 1.5e9,
  }),
};
const decode: GroupedRow = { group: "models", ...more("m f16: decode of 4", around(8), "tokens/s") };
const streams: GroupedRow = { group: "streams", ...more("4 streams", 30, "tokens/s") };

const report: Report = {
  adapter: "Some GPU (driver <1>)",
  date: "2026-11-23T10:00:00.000Z",
  node: "v20.0.0",
  version: "0.1.0",
  quick: true,
  rows: [kernel, decode, streams],
  failures: [],
};

describe("a report's file", () => {
  it("is read as written", () => {
    expect(parseReport(JSON.stringify(report), "x.json")).toEqual(report);
  });

  it.each([
    [{ ...report, rows: [{ ...kernel, value: "fast" }] }, /old\.json: rows\.0\.value/],
    [{ ...report, rows: [kernel, { ...decode, better: "bigger" }] }, /old\.json: rows\.1\.better/],
    [{ ...report, adapter: undefined }, /old\.json: adapter/],
    [{ ...report, date: "yesterday" }, /old\.json: date/],
  ])("with a wrong field is refused, naming the file and the field: %#", (wrong, message) => {
    expect(() => parseReport(JSON.stringify(wrong), "old.json")).toThrow(
      expect.objectContaining({ code: "invalid_file", message: expect.stringMatching(message) }),
    );
  });

  it("that is not JSON is refused, naming the file", () => {
    expect(() => parseReport("{", "old.json")).toThrow(/old\.json/);
  });

  it("is named after its date and adapter", () => {
    expect(reportName(report)).toBe("2026-11-23-some-gpu-quick");
    expect(reportName({ ...report, adapter: "(none)", quick: false })).toBe("2026-11-23-adapter");
  });
});

describe("two reports", () => {
  const faster: Report = {
    ...report,
    rows: [
      { ...kernel, value: 10, low: 9, high: 11 },
      { ...decode, value: 8.4, low: 8, high: 9 },
      { ...streams, name: "9 streams" },
    ],
  };

  it("are compared by how many times better the newer one is, for rates and for times", () => {
    const { rows, onlyNow, onlyBase } = compareReports(faster, report);
    expect(rows.map(({ row, ratio, apart }) => [row.name, ratio, apart])).toEqual([
      [kernel.name, 2, true],
      [decode.name, 1.05, false],
    ]);
    expect([onlyNow, onlyBase]).toEqual([1, 1]);
    const lines = comparedTables(rows).flatMap(({ heading, lines }) => [[heading], ...lines]);
    expect(lines).toContainEqual([kernel.name, "20", "10", "µs", "2.00 ×"]);
    expect(lines).toContainEqual([decode.name, "8", "8.4", "tokens/s", "1.05 × ~"]);
  });

  it("of different adapters or rounds have their differences named", () => {
    expect(differences(report, report)).toEqual([]);
    const other = { ...report, adapter: "Another", quick: false };
    expect(differences(report, other)).toEqual([
      `the adapter was Another, and is ${report.adapter}`,
      "only one of them was taken with --quick",
    ]);
  });
});

it("is shown as one table per group, with the columns that its rows need", () => {
  const [kernels, many, models] = reportTables(report.rows);
  expect(kernels).toEqual({
    heading: "kernels",
    lines: [
      ["", "median", "quartiles", "", "GB/s", "share", "ceiling"],
      [kernel.name, "20", "18–22", "µs", "1.5", "25 %", "dispatch"],
    ],
  });
  expect(many).toEqual({
    heading: "streams",
    lines: [
      ["", "median", "quartiles", ""],
      ["4 streams", "30", "", "tokens/s"],
    ],
  });
  expect(models?.heading).toBe("models");
});

it("is drawn as bars in proportion to its figures, or not at all without figures", () => {
  const plots = benchPlots({
    ...report,
    rows: [kernel, { ...kernel, name: "b <2>", share: 0.5, bound: "bandwidth" }, decode, streams],
  });
  expect([...plots.keys()]).toEqual(["kernels", "decode", "streams"]);
  const svg = plots.get("kernels") ?? "";
  expect(svg).toContain("driver &#60;1&#62;");
  expect(svg).toContain("b &#60;2&#62;");
  const widths = Array.from(svg.matchAll(/<rect x="\d+" y="\d+" width="([\d.]+)"/g), ([, width]) =>
    Number(width),
  );
  expect(widths).toHaveLength(2);
  expect(widths[1]! / widths[0]!).toBeCloseTo(2, 6);
  expect([...benchPlots({ ...report, rows: [] })]).toEqual([]);
});
