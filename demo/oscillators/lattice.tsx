import { useRef } from "preact/hooks";
import type { TraceShape } from "../trace.ts";
import { Canvas } from "./canvas.tsx";
import { Layers } from "./layers.tsx";
import { HUES, hueOf, wheelOf } from "./palette.ts";
import type { Pictured } from "./pictured.ts";
import type { Stage, Theme } from "./stage.ts";

/** Between components, in cells. */
const GAP = 0.75;
/** Cells smaller than this, in CSS pixels, have no needle. */
const NEEDLE = 7;

/** Each layer's lattice: its components' cells. */
export function Lattice(pictured: Pictured) {
  const { stage } = pictured;
  const { shape } = stage.history;
  const { grid, size } = shape;
  const places = useRef<Places>(undefined);
  if (!stage.glide.cells || !grid) {
    return <p class="osc-none">This model has no lattice memory, so there are no cells to show.</p>;
  }
  const components = size / 2 / (grid[0] * grid[1]);
  const [columns, rows] = arrange(components, grid);
  const ratio = (columns * (grid[0] + GAP) - GAP) / (rows * (grid[1] + GAP) - GAP);
  return (
    <>
      <p class="osc-explain">
        Each square is a field of {grid[0]} × {grid[1]} oscillators that pull at their neighbours. The needle
        and its colour are a cell's phase, the strength of the colour its amplitude: a patch of one colour
        swings together.
      </p>
      <Layers
        {...pictured}
        number={(layer) => latest(stage, layer)}
        picture={(layer) => (
          <Canvas
            stage={stage}
            ratio={ratio}
            of={() => ({
              glides: true,
              paint(context, width, _, theme) {
                if (places.current?.width !== width) places.current = place(width, columns, shape);
                paint(context, places.current, theme, stage, layer);
              },
              describe: () => describe(stage, layer, components, grid),
            })}
          />
        )}
      />
      <Legend stage={stage} />
    </>
  );
}

function Legend({ stage }: { readonly stage: Stage }) {
  return (
    <p class="osc-legend">
      <span>
        <Canvas
          stage={stage}
          of={() => ({ glides: false, paint: wheel, describe: () => "The colours of the phases" })}
        />
        Phase, 0° to the right
      </span>
      <span>
        <Canvas
          stage={stage}
          of={() => ({ glides: false, paint: ramp, describe: () => "The strengths of the colours" })}
        />
        Amplitude, from 0 to about the largest of the layer
      </span>
      <span>The number is the coherence: 1 if all cells of every field swing as one</span>
    </p>
  );
}

/** Opacity for a fraction of the largest amplitude: its square root, so that weak cells stay visible. */
const strength = (part: number): number => Math.min(1, Math.sqrt(part));

function wheel(context: CanvasRenderingContext2D, width: number, height: number, { phases }: Theme): void {
  context.translate(width / 2, height / 2);
  context.fillStyle = wheelOf(phases);
  context.beginPath();
  context.arc(0, 0, Math.min(width, height) / 2, 0, 2 * Math.PI);
  context.fill();
}

function ramp(context: CanvasRenderingContext2D, width: number, height: number, theme: Theme): void {
  const steps = 6;
  for (let i = 0; i < steps; i++) {
    const place = [(i * width) / steps, 0, width / steps - 1, height] as const;
    context.globalAlpha = 1;
    context.fillStyle = theme.raised;
    context.fillRect(...place);
    context.globalAlpha = strength(i / (steps - 1));
    context.fillStyle = theme.phases[HUES / 2]!;
    context.fillRect(...place);
  }
}

/** Columns and rows for the components: about 1.5 times as wide as high, with few empty places. */
export function arrange(components: number, [gx, gy]: readonly [number, number]): [number, number] {
  let best: [number, number] = [1, components];
  let least = Number.POSITIVE_INFINITY;
  for (let columns = 1; columns <= components; columns++) {
    const rows = Math.ceil(components / columns);
    const ratio = (columns * gx) / (rows * gy);
    const cost = Math.abs(Math.log(ratio / 1.5)) + (2 * (columns * rows - components)) / components;
    if (cost < least) [least, best] = [cost, [columns, rows]];
  }
  return best;
}

/** Where a layer's cells lie on a canvas. */
interface Places {
  readonly width: number;
  readonly cell: number;
  readonly side: number;
  /** `[D/2, 2]`: left and top of each cell. */
  readonly corners: Float32Array;
  readonly all: Path2D;
}

function place(width: number, columns: number, { size, grid }: TraceShape): Places {
  const [gx, gy] = grid!;
  const cell = width / (columns * (gx + GAP) - GAP);
  const side = cell - Math.min(1, cell / 8);
  const corners = new Float32Array(size);
  const all = new Path2D();
  for (let pair = 0; pair < size / 2; pair++) {
    const component = Math.floor(pair / (gx * gy));
    const left = ((component % columns) * (gx + GAP) + Math.floor((pair % (gx * gy)) / gy)) * cell;
    const top = (Math.floor(component / columns) * (gy + GAP) + (pair % gy)) * cell;
    corners.set([left, top], 2 * pair);
    all.rect(left, top, side, side);
  }
  return { width, cell, side, corners, all };
}

function paint(
  context: CanvasRenderingContext2D,
  { cell, side, corners, all }: Places,
  theme: Theme,
  { history, glide }: Stage,
  layer: number,
): void {
  const { size } = history.shape;
  const half = size / 2;
  const cells = glide.cells!.shown;
  const scale = glide.cells!.scale[layer]!;
  context.fillStyle = theme.raised;
  context.fill(all);
  if (scale === 0) return;
  const needles = cell >= NEEDLE;
  context.beginPath();
  for (let pair = 0; pair < half; pair++) {
    const [re, im] = [cells[layer * size + pair]!, cells[layer * size + pair + half]!];
    const modulus = Math.sqrt(re * re + im * im);
    if (modulus === 0) continue;
    const [left, top] = [corners[2 * pair]!, corners[2 * pair + 1]!];
    context.globalAlpha = strength(modulus / scale);
    context.fillStyle = theme.phases[hueOf(re, im)]!;
    context.fillRect(left, top, side, side);
    if (!needles) continue;
    const reach = (0.42 * cell) / modulus;
    context.moveTo(left + side / 2, top + side / 2);
    context.lineTo(left + side / 2 + re * reach, top + side / 2 - im * reach);
  }
  context.globalAlpha = 0.8;
  context.lineWidth = Math.max(1, cell / 12);
  context.lineCap = "round";
  context.strokeStyle = theme.ink;
  context.stroke();
  context.globalAlpha = 1;
}

const latest = ({ history }: Stage, layer: number): string =>
  history.end > 0 ? history.of(history.end - 1, 1, layer).toFixed(2) : "–";

function describe(
  stage: Stage,
  layer: number,
  components: number,
  [gx, gy]: readonly [number, number],
): string {
  const name = `Lattice of layer ${layer + 1}, ${components} fields of ${gx} by ${gy} cells`;
  return stage.history.state ? `${name}: coherence ${latest(stage, layer)}` : `${name}: nothing yet`;
}
