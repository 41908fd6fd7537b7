import { colourOf, escaped, rounded, short, svgDocument } from "../svg.ts";
import type { ConditionResult, NeedleResult } from "./benchmark.ts";
import { grouped, sizeInWords } from "./report.ts";

/** The figure that a column of panels shows. */
interface Measure {
  readonly title: string;
  readonly of: (result: NeedleResult) => number;
  /** `log`: a logarithmic scale that fits the data; otherwise the ends of a linear scale. */
  readonly range: "log" | readonly [number, number];
  readonly label: (value: number) => string;
}

const row = (result: NeedleResult, condition: ConditionResult["condition"]): ConditionResult | undefined =>
  result.rows.find((each) => each.condition === condition);
const percent = (value: number): string => `${Math.round(100 * value)} %`;
const fixed = (value: number): string => value.toFixed(2);

const MEASURES: readonly Measure[] = [
  { title: "hit at 1, clean", of: (g) => row(g, "none")?.hit1 ?? NaN, range: [0, 1], label: percent },
  { title: "hit at 1, damaged", of: (g) => row(g, "damaged")?.hit1 ?? NaN, range: [0, 1], label: percent },
  { title: "AUC, clean", of: (g) => row(g, "none")?.auc ?? NaN, range: [0.4, 1], label: fixed },
  { title: "AUC, damaged", of: (g) => row(g, "damaged")?.auc ?? NaN, range: [0.4, 1], label: fixed },
  { title: "ms with index", of: (g) => g.ms + g.indexMs, range: "log", label: power },
  { title: "bytes held", of: (g) => g.workingBytes, range: "log", label: power },
];

/** Searchers also differ by marker and dash, for colour-blind readers. */
const DASHES = ["", "7 3", "2 3"] as const;
const SIZES = 6;

const WIDTH = 250;
const HEIGHT = 150;
const GAP = { x: 62, y: 62 } as const;
const TOP = 78;

/** Returns an SVG plot over the context's length: a row of panels per source and needle size, a line per searcher. */
export function needlePlot(title: string, results: readonly NeedleResult[]): string {
  const searchers = [...new Set(results.map(({ searcher }) => searcher))];
  const lengths = [...new Set(results.map(({ length }) => length))].sort((a, b) => a - b);
  const lines = grouped(results, ({ source, needle }) => `${source} ${needle}`);
  const measures = MEASURES.filter(({ of }) => results.some((result) => Number.isFinite(of(result))));
  const width = measures.length * (WIDTH + GAP.x) + 20;
  const height = TOP + lines.length * (HEIGHT + GAP.y);
  const panels = lines.flatMap((line, y) =>
    measures.map((measure, x) => {
      const name = `${line[0]!.source === "text" ? "text" : "random tokens"}, ${sizeInWords(line[0]!.needle)}`;
      const at = `translate(${GAP.x - 4 + x * (WIDTH + GAP.x)},${TOP + y * (HEIGHT + GAP.y)})`;
      return `<g transform="${at}">${panel(`${name}: ${measure.title}`, measure, line, searchers, lengths)}</g>`;
    }),
  );
  return svgDocument(title, { width, height, left: GAP.x - 4 }, [...searchers.map(key), ...panels]);
}

function key(name: string, index: number): string {
  const x = GAP.x - 4 + index * 90;
  return (
    `<g transform="translate(${x},40)">${stroke(index, "M0 0H28")}${marker(index, 14, 0)}` +
    `<text x="34" y="4">${escaped(name)}</text></g>`
  );
}

function panel(
  title: string,
  { of, range, label }: Measure,
  results: readonly NeedleResult[],
  searchers: readonly string[],
  lengths: readonly number[],
): string {
  const values = results.map(of).filter((value) => Number.isFinite(value) && (range !== "log" || value > 0));
  const [low, high] = range === "log" ? decades(values) : range;
  const scale = (value: number): number => (range === "log" ? Math.log10(value) : value);
  const y = (value: number): number =>
    rounded(HEIGHT * (1 - (scale(value) - scale(low)) / (scale(high) - scale(low))));
  const [first, last] = [lengths[0]!, lengths.at(-1)!];
  const x = (length: number): number =>
    rounded(first === last ? WIDTH / 2 : (WIDTH * Math.log(length / first)) / Math.log(last / first));
  const ticks =
    range === "log" ? powers(low, high) : [0, 1, 2, 3, 4].map((i) => low + (i * (high - low)) / 4);
  const grid = ticks.map(
    (tick) =>
      `<path d="M0 ${y(tick)}H${WIDTH}" stroke="#ddd"/>` +
      `<text x="-6" y="${y(tick) + 4}" text-anchor="end" fill="#555">${label(tick)}</text>`,
  );
  const labelled = lengths.filter((_, i) => i % Math.ceil(lengths.length / 6) === 0);
  const foot = labelled.map(
    (length) =>
      `<text x="${x(length)}" y="${HEIGHT + 16}" text-anchor="middle" fill="#555">${short(length)}</text>`,
  );
  const drawn = searchers.map((searcher, index) => {
    const points = results
      .filter((result) => result.searcher === searcher)
      .sort((a, b) => a.length - b.length)
      .map((result) => ({ length: result.length, value: of(result) }))
      .filter(({ value }) => Number.isFinite(value) && (range !== "log" || value > 0))
      .map(({ length, value }) => [x(length), y(Math.max(low, Math.min(high, value)))] as const);
    if (points.length === 0) return "";
    const path = points.map(([px, py], i) => `${i === 0 ? "M" : "L"}${px} ${py}`).join("");
    return stroke(index, path) + points.map(([px, py]) => marker(index, px, py)).join("");
  });
  return (
    `<text x="0" y="-8">${escaped(title)}</text>${grid.join("")}${foot.join("")}` +
    `<text x="${WIDTH}" y="${HEIGHT + 30}" text-anchor="end" fill="#555">tokens</text>` +
    `<path d="M0 0V${HEIGHT}H${WIDTH}" fill="none" stroke="#555"/>${drawn.join("")}`
  );
}

function stroke(index: number, path: string): string {
  const dash = DASHES[index % DASHES.length];
  const dashes = dash && ` stroke-dasharray="${dash}"`;
  return `<path d="${path}" fill="none" stroke="${colourOf(index)}" stroke-width="1.6"${dashes}/>`;
}

/** Draws a hollow circle, square or triangle; markers are hollow and differ in size so that overlapping ones stay visible. */
function marker(index: number, x: number, y: number): string {
  const look = `fill="none" stroke="${colourOf(index)}" stroke-width="1.4"`;
  const r = 2.5 + (index % SIZES) * 0.5;
  if (index % 3 === 0) return `<circle cx="${x}" cy="${y}" r="${r}" ${look}/>`;
  if (index % 3 === 1) {
    return `<rect x="${rounded(x - r)}" y="${rounded(y - r)}" width="${2 * r}" height="${2 * r}" ${look}/>`;
  }
  return `<path d="M${x} ${rounded(y - r)}L${rounded(x + r)} ${rounded(y + r)}H${rounded(x - r)}Z" ${look}/>`;
}

/** Returns the powers of ten just below and above all values; the two always differ. */
function decades(values: readonly number[]): [number, number] {
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.ceil(Math.log10(Math.max(...values)));
  return [10 ** low, 10 ** Math.max(high, low + 1)];
}

/** Returns at most six powers of ten between `low` and `high`. */
function powers(low: number, high: number): number[] {
  const [from, to] = [Math.round(Math.log10(low)), Math.round(Math.log10(high))];
  const step = Math.ceil((to - from) / 5);
  return Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, i) => 10 ** (from + i * step));
}

function power(value: number): string {
  if (value < 1) return String(Number(value.toPrecision(1)));
  return short(value, 1000);
}
