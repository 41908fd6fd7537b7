import type { GroupedRow } from "./harness/case.ts";
import type { Report } from "./harness/report.ts";
import { bounds } from "./harness/row.ts";
import { readable } from "./harness/tables.ts";
import { colourOf, escaped, rounded, svgDocument } from "./svg.ts";

/** A labelled bar; bars of one kind have one colour. */
interface Bar {
  readonly label: string;
  readonly value: number;
  readonly kind: string;
}

interface Chart {
  readonly title: string;
  /** Kinds, in the order of their colours. */
  readonly kinds: readonly string[];
  readonly bars: readonly Bar[];
  /** Where the axis ends at least. */
  readonly most: number;
  readonly tell: (value: number) => string;
}

const percent = (value: number): string => `${Math.round(100 * value)} %`;

/** Plots of a report, each by what its file's name ends with; none of what it has no figures of. */
export function benchPlots({ adapter, rows }: Report): Map<string, string> {
  const charts: Record<string, Chart> = {
    kernels: {
      title: `Kernels on ${adapter}: share of the ceiling that each is nearest to`,
      kinds: bounds,
      bars: rows
        .filter(({ group }) => group === "kernels")
        .flatMap(({ name, share, bound }) =>
          share !== undefined && bound ? [{ label: name, value: share, kind: bound }] : [],
        ),
      most: 1,
      tell: percent,
    },
    decode: {
      title: `Decoding random weights of known sizes on ${adapter}, tokens a second`,
      kinds: ["f32", "f16", "q8", "q4"],
      bars: rows.flatMap(modelDecode),
      most: 0,
      tell: readable,
    },
    streams: {
      title: `The default model on ${adapter}: tokens a second of all streams`,
      kinds: ["f32"],
      bars: rows
        .filter(({ group, name }) => group === "streams" && /^\d+ streams?$/.test(name))
        .map(({ name, value }) => ({ label: name, value, kind: "f32" })),
      most: 0,
      tell: readable,
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

/** Horizontal bars under a key of their kinds, each with its value. */
function draw({ title, kinds, bars, most, tell }: Chart): string {
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
      `<text x="${LABELS + width + 5}" y="${y + 9}" fill="#555">${escaped(tell(value))}</text>`
    );
  });
  const size = { width: LABELS + WIDTH + 80, height: TOP + LINE * bars.length + 12, left: 12 };
  return svgDocument(title, size, [...key, ...drawn]);
}
