import * as v from "valibot";
import { ResonantError } from "../../common/errors.ts";
import { type GroupedRow, groups } from "./case.ts";
import { bounds } from "./row.ts";

const finite = v.pipe(v.number(), v.finite());
const text = v.pipe(v.string(), v.minLength(1));

const rowSchema = v.object({
  group: v.picklist(groups),
  name: text,
  value: finite,
  low: finite,
  high: finite,
  unit: v.string(),
  better: v.picklist(["higher", "lower"]),
  share: v.optional(finite),
  bound: v.optional(v.picklist(bounds)),
  timed: v.optional(v.picklist(["gpu", "host"])),
  bytesPerSecond: v.optional(finite),
  flopsPerSecond: v.optional(finite),
});

const reportSchema = v.object({
  adapter: text,
  date: v.pipe(v.string(), v.isoTimestamp()),
  node: text,
  version: text,
  quick: v.boolean(),
  /** The device's tuning, with the keys of the tuning file (`engine/platform/node/tuning-file.ts`). */
  tuning: v.optional(v.object({ share: finite, products: finite, manyRows: finite })),
  rows: v.array(rowSchema),
  failures: v.array(v.object({ group: v.picklist(groups), name: text, message: v.string() })),
});

/** The results of a run of the benchmarks, as stored in a file. */
export interface Report extends Omit<v.InferOutput<typeof reportSchema>, "rows"> {
  readonly rows: readonly GroupedRow[];
}

/** @throws ResonantError `invalid_file` that names the file and the wrong field */
export function parseReport(json: string, name: string): Report {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new ResonantError("invalid_file", `it is not JSON (${(cause as Error).message})`, {
      where: name,
      cause,
    });
  }
  const parsed = v.safeParse(reportSchema, value);
  if (parsed.success) return parsed.output;
  const issue = parsed.issues[0];
  throw new ResonantError("invalid_file", issue.message, {
    where: `${name}: ${v.getDotPath(issue) ?? "report"}`,
    fix: "Give a file that `resonant bench --save` wrote",
  });
}

/** Returns a report's file name without extension: its date and adapter, in characters that every file system allows. */
export function reportName({ date, adapter, quick }: Report): string {
  const called = adapter.replace(/\(.*/, "").toLowerCase();
  const slug = called.replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "");
  return [date.slice(0, 10), slug || "adapter", ...(quick ? ["quick"] : [])].join("-");
}
