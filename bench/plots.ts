import type { GroupedRow } from "./harness/case.ts";
import type { Report } from "./harness/report.ts";
import { bounds } from "./harness/row.ts";
import { readable } from "./harness/tables.ts";
import { colourOf, escaped, rounded, svgDocument } from "./svg.ts";

/** A labelled bar; bars of the same kind have the same colour. */
interface Bar {
  readonly label: string;
  readonly value: number;
  readonly kind: string;
}

interface Chart {
  readonly title: string;
  /** All kinds of bars, in the order of their colours. */
  readonly kinds: readonly string[];
  readonly bars: readonly Bar[];
  /** Minimum of the value where the axis ends. */
  readonly most: number;
  readonly format: (value: number) => string;
}

const percent = (value: number): string => `${Math.round(100 * value)} %`;

/** Draws the plots of a report; returns them by the suffix of their file names. A plot without figures is left out. */
export function benchPlots({ adapter, rows }: Report): Map<string, string> {
  const charts: Record<string, Chart> = {
    kernels: {
      title: `Kernels on ${adapter}: share of the nearest ceiling`,
      kinds: bounds,
      bars: rows
        .filter(({ group }) => group === "kernels")
        .flatMap(({ name, share, bound }) =>
          share !== undefined && bound ? [{ label: name, value: share, kind: bound }] : [],
        ),
      most: 1,
      format: percent,
    },
    decode: {
      title: `Decoding with random weights on ${adapter}, tokens per second`,
      kinds: ["f32", "f16", "q8", "q4"],
      bars: rows.flatMap(modelDecode),
      most: 0,
      format: readable,
    },
    streams: {
      title: `The default model on ${adapter}: tokens per second of all streams together`,
      kinds: ["f32"],
      bars: rows
        .filter(({ group, name }) => group === "streams" && /^\d+ streams?$/.test(name))
        .map(({ name, value }) => ({ label: name, value, kind: "f32" })),
      most: 0,
      format: readable,
    },
  };
  const drawn = Object.entries(charts).filter(([, { bars }]) => bars.length > 0);
  return new Map(drawn.map(([kind, chart]) => [kind, draw(chart)]));
}

function modelDecode({ group, name, value }: GroupedRow): Bar[] {
  const [, model, format] = /^(\S+) (\S+): decode of /.exec(name) ?? [];
  if (group !== "models" || model === undefined || format === undefined) return [];
  return [{ label: `${model}, ${format}`, value, kind: format }];
}

const [LABELS, WIDTH, LINE, TOP, BAR] = [380, 420, 16, 60, 11];

/** Draws a legend of the kinds, and below it horizontal bars with their values. */
function draw({ title, kinds, bars, most, format }: Chart): string {
  const end = Math.max(most, ...bars.map(({ value }) => value));
  const present = kinds.filter((kind) => bars.some((bar) => bar.kind === kind));
  const fill = (kind: string): string => colourOf(kinds.indexOf(kind));
  const key = present.map(
    (kind, i) =>
      `<g transform="translate(${LABELS + 100 * i},34)"><rect width="12" height="${BAR}" fill="${fill(kind)}"/>` +
      `<text x="17" y="10">${escaped(kind)}</text></g>`,
  );
  const drawn = bars.map(({ label, value, kind }, i) => {
    const y = TOP + LINE * i;
    const width = rounded((WIDTH * value) / end);
    return (
      `<text x="${LABELS - 8}" y="${y + 9}" text-anchor="end">${escaped(label)}</text>` +
      `<rect x="${LABELS}" y="${y}" width="${width}" height="${BAR}" fill="${fill(kind)}"/>` +
      `<text x="${LABELS + width + 5}" y="${y + 9}" fill="#555">${escaped(format(value))}</text>`
    );
  });
  const size = { width: LABELS + WIDTH + 80, height: TOP + LINE * bars.length + 12, left: 12 };
  return svgDocument(title, size, [...key, ...drawn]);
}
