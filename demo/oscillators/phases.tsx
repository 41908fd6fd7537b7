import { useSignal } from "@preact/signals";
import { useLayoutEffect } from "preact/hooks";
import { Canvas } from "./canvas.tsx";
import { Layers } from "./layers.tsx";
import { axisEnd, meanField } from "./mean-field.ts";
import { HUES, hueOf, wheelOf } from "./palette.ts";
import type { Pictured } from "./pictured.ts";
import type { Stage, Theme } from "./stage.ts";

/** Number of colours for a layer's pointers: each colour is one path. */
const SHADES = 64;

/** Each layer's vector memory: a pointer for each pair, and their mean field. */
export function Phases(pictured: Pictured) {
  const { stage } = pictured;
  const pairs = Math.floor(stage.history.shape.size / 2);
  const rim = useSignal(axisEnd(stage.history.mostR));
  useLayoutEffect(
    () =>
      stage.onDraw(() => {
        rim.value = axisEnd(stage.history.mostR);
      }),
    [stage],
  );
  if (!stage.glide.vector) {
    return <p class="osc-none">This model has no vector memory, so there are no phases to show.</p>;
  }
  return (
    <>
      <p class="osc-explain">
        Every pointer is one of a layer's {pairs} memory cells: its direction is the cell's phase, and the
        longer it is, the more strongly the cell remembers. The arrow is their average: the more of them
        agree, the longer it is.
      </p>
      <Layers
        {...pictured}
        number={(layer) => `R ${latest(stage, layer)}`}
        picture={(layer) => (
          <Canvas
            stage={stage}
            ratio={1}
            of={() => ({
              glides: true,
              paint: (context, width, height, theme) => paint(context, width, height, theme, stage, layer),
              describe: () => describe(stage, layer),
            })}
          />
        )}
      />
      <p class="osc-legend">
        <span>
          <i class="osc-arrow" /> Average, with the length R; the rim is R = {rim}
        </span>
        <span>
          <i class="osc-dashes" /> The R that chance would give, if all had random phases
        </span>
        <span>Pointers are as long as the square root of their strength, the strongest near the rim</span>
      </p>
    </>
  );
}

const latest = ({ history }: Stage, layer: number): string =>
  history.end > 0 ? history.of(history.end - 1, 0, layer).toFixed(2) : "–";

const shown = (stage: Stage, layer: number): Float32Array => {
  const { size } = stage.history.shape;
  return stage.glide.vector!.shown.subarray(layer * size, (layer + 1) * size);
};

function paint(
  context: CanvasRenderingContext2D,
  width: number,
  height: number,
  theme: Theme,
  stage: Stage,
  layer: number,
): void {
  const rim = Math.min(width, height) / 2 - 5;
  context.translate(width / 2, height / 2);
  ring(context, rim, theme);
  const m = shown(stage, layer);
  const scale = stage.glide.vector!.scale[layer]!;
  if (scale === 0) return;
  pointers(context, m, scale, rim, theme);
  const { re, im, chance } = meanField(m);
  const end = axisEnd(stage.history.mostR);
  context.lineWidth = 1.25;
  context.strokeStyle = theme.ink;
  context.setLineDash([2, 3]);
  context.beginPath();
  context.arc(0, 0, (chance / end) * rim, 0, 2 * Math.PI);
  context.stroke();
  context.setLineDash([]);
  arrow(context, (re / end) * rim, (-im / end) * rim, rim, theme);
}

/** The circle's rim, coloured by angle. */
function ring(context: CanvasRenderingContext2D, rim: number, { phases, line }: Theme): void {
  context.lineWidth = 3;
  context.strokeStyle = wheelOf(phases);
  context.beginPath();
  context.arc(0, 0, rim, 0, 2 * Math.PI);
  context.stroke();
  context.lineWidth = 1;
  context.strokeStyle = line;
  context.beginPath();
  context.moveTo(-rim + 4, 0);
  context.lineTo(rim - 4, 0);
  context.moveTo(0, -rim + 4);
  context.lineTo(0, rim - 4);
  context.stroke();
}

const shades = Array.from({ length: SHADES }, (): number[] => []);

/** Angles go counter-clockwise from the right; y on a canvas points down. */
function pointers(
  context: CanvasRenderingContext2D,
  m: Float32Array,
  scale: number,
  rim: number,
  { phases }: Theme,
): void {
  const half = Math.floor(m.length / 2);
  for (const shade of shades) shade.length = 0;
  for (let j = 0; j < half; j++) {
    const [re, im] = [m[j]!, m[j + half]!];
    const modulus = Math.sqrt(re * re + im * im);
    if (modulus === 0) continue;
    const unit = (rim - 6) / Math.sqrt(modulus * scale);
    shades[((hueOf(re, im) * SHADES) / HUES) | 0]!.push(re * unit, -im * unit);
  }
  const dot = Math.max(0.9, (rim / 45) * Math.min(1, Math.sqrt(128 / half)));
  context.lineWidth = Math.max(1, rim / 90);
  context.lineCap = "round";
  shades.forEach((tips, shade) => {
    if (tips.length === 0) return;
    const colour = phases[(((shade + 0.5) * HUES) / SHADES) | 0]!;
    context.strokeStyle = colour;
    context.fillStyle = colour;
    context.globalAlpha = 0.55;
    context.beginPath();
    for (let i = 0; i < tips.length; i += 2) {
      context.moveTo(0, 0);
      context.lineTo(tips[i]!, tips[i + 1]!);
    }
    context.stroke();
    context.globalAlpha = 1;
    context.beginPath();
    for (let i = 0; i < tips.length; i += 2) {
      const [x, y] = [tips[i]!, tips[i + 1]!];
      if (dot < 1.5) context.rect(x - dot, y - dot, 2 * dot, 2 * dot);
      else {
        context.moveTo(x + dot, y);
        context.arc(x, y, dot, 0, 2 * Math.PI);
      }
    }
    context.fill();
  });
}

function arrow(
  context: CanvasRenderingContext2D,
  x: number,
  y: number,
  rim: number,
  { ink, surface }: Theme,
): void {
  const length = Math.hypot(x, y);
  const head = Math.min(length, Math.max(5, rim / 9));
  const [ux, uy] = length > 0 ? [x / length, y / length] : [0, 0];
  const [neckX, neckY] = [x - ux * head, y - uy * head];
  const outline = (): void => {
    context.beginPath();
    context.moveTo(0, 0);
    context.lineTo(neckX, neckY);
    context.stroke();
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(neckX - uy * head * 0.55, neckY + ux * head * 0.55);
    context.lineTo(neckX + uy * head * 0.55, neckY - ux * head * 0.55);
    context.closePath();
  };
  const stem = Math.max(2, rim / 32);
  context.lineJoin = "round";
  context.strokeStyle = surface; // a halo, so that it is visible over the pointers
  context.lineWidth = stem + Math.min(3, rim / 30);
  outline();
  context.stroke();
  context.strokeStyle = ink;
  context.fillStyle = ink;
  context.lineWidth = stem;
  outline();
  context.fill();
}

function describe(stage: Stage, layer: number): string {
  const name = `Phases of layer ${layer + 1}`;
  if (!stage.history.state) return `${name}: nothing yet`;
  const { re, im, chance } = meanField(shown(stage, layer));
  const degrees = Math.round((Math.atan2(im, re) * 180) / Math.PI + 360) % 360;
  return `${name}: order parameter R ${latest(stage, layer)}, pointing to ${degrees} degrees; by chance it would be ${chance.toFixed(2)}`;
}
