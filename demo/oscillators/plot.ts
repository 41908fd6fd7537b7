import type { History, Measure } from "./history.ts";
import { axisEnd } from "./mean-field.ts";
import type { Theme } from "./stage.ts";
import { visible } from "./telling.ts";

/** What the plot shows besides the history. */
export interface PlotView {
  readonly history: History;
  /** Tokens `[from, to)` from left to right. */
  readonly from: number;
  readonly to: number;
  readonly layer: number | undefined;
  readonly cursor: number | undefined;
  /** Tokens to mark and number. */
  readonly movers: readonly number[];
}

/** Margins: for the axes' numbers, and for the tokens' text below. */
const [LEFT, RIGHT, TOP, BETWEEN, BELOW] = [34, 10, 22, 28, 22];

interface Panel {
  readonly which: Measure;
  readonly title: string;
  readonly top: number;
  readonly bottom: number;
  readonly end: number;
}

/** Where tokens and values lie on a plot of `width` by `height`. */
export class Frame {
  readonly #view: PlotView;
  readonly right: number;
  readonly panels: readonly [Panel, Panel] | readonly [Panel];

  /** @param measures which of R and the lattice's coherence the model has, the upper panel first */
  constructor(view: PlotView, width: number, height: number, measures: readonly Measure[]) {
    this.#view = view;
    this.right = width - RIGHT;
    const room = height - TOP - BELOW - (measures.length > 1 ? BETWEEN : 0);
    const upper = measures.length > 1 ? Math.round(room * 0.6) : room;
    const panel = (which: Measure, top: number, bottom: number): Panel => ({
      which,
      title: which === 0 ? "R, the oscillators in step" : "Coherence of the lattice",
      top,
      bottom,
      end: axisEnd(most(view, which)),
    });
    const first = panel(measures[0]!, TOP, TOP + upper);
    this.panels =
      measures.length > 1 ? [first, panel(measures[1]!, TOP + upper + BETWEEN, height - BELOW)] : [first];
  }

  /** Pixels from one token to the next. */
  get step(): number {
    const { from, to } = this.#view;
    return (this.right - LEFT) / Math.max(1, to - from);
  }

  x(token: number): number {
    return LEFT + (token - this.#view.from + 0.5) * this.step;
  }

  y({ top, bottom, end }: Panel, value: number): number {
    return bottom - (value / end) * (bottom - top);
  }

  /** The token at `x`, if there is one. */
  tokenAt(x: number): number | undefined {
    const { from, to, history } = this.#view;
    const token = Math.min(to - 1, Math.max(from, from + Math.floor((x - LEFT) / this.step)));
    return token >= history.first && token < history.end ? token : undefined;
  }

  /** The layer whose line passes within 8 pixels of a point, or "mean"; undefined if there is none. */
  lineAt(token: number, y: number): number | "mean" | undefined {
    const { history } = this.#view;
    const panel = this.panels.find(({ top, bottom }) => y > top - 8 && y < bottom + 8);
    if (!panel) return undefined;
    const away = (value: number): number => Math.abs(this.y(panel, value) - y);
    let [nearest, least]: [number | "mean" | undefined, number] = [undefined, 8];
    if (away(history.mean(token, panel.which)) < least) {
      [nearest, least] = ["mean", away(history.mean(token, panel.which))];
    }
    for (let layer = 0; layer < history.shape.layers; layer++) {
      const distance = away(history.of(token, panel.which, layer));
      if (distance < least) [nearest, least] = [layer, distance];
    }
    return nearest;
  }
}

function most({ history, from, to }: PlotView, which: Measure): number {
  let value = 0;
  for (let token = Math.max(from, history.first); token < Math.min(to, history.end); token++) {
    for (let layer = 0; layer < history.shape.layers; layer++) {
      value = Math.max(value, history.of(token, which, layer));
    }
  }
  return value;
}

/** Draws the plot. */
export function drawPlot(
  context: CanvasRenderingContext2D,
  frame: Frame,
  view: PlotView,
  theme: Theme,
): void {
  for (const panel of frame.panels) drawPanel(context, frame, panel, view, theme);
  drawTexts(context, frame, view, theme);
  drawMovers(context, frame, view, theme);
  if (view.cursor !== undefined) drawCursor(context, frame, view.cursor, view, theme);
}

function drawPanel(
  context: CanvasRenderingContext2D,
  frame: Frame,
  panel: Panel,
  view: PlotView,
  theme: Theme,
): void {
  const { history, layer } = view;
  const { which, top, end, title } = panel;
  const [from, to] = [Math.max(view.from, history.first), Math.min(view.to, history.end)];
  shadePrompt(context, frame, panel, from, to, view, theme);
  context.font = `11px ${theme.sans}`;
  context.lineWidth = 1;
  context.strokeStyle = theme.line;
  context.fillStyle = theme.soft;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const value of [0, end / 2, end]) {
    const y = Math.round(frame.y(panel, value)) + 0.5;
    context.beginPath();
    context.moveTo(LEFT, y);
    context.lineTo(frame.right, y);
    context.stroke();
    context.fillText(`${+value.toFixed(3)}`, LEFT - 6, y);
  }
  context.textAlign = "left";
  context.textBaseline = "bottom";
  context.fillText(title, LEFT, top - 3);
  const { layers } = history.shape;
  if (layers > 1) {
    context.strokeStyle = theme.soft;
    context.globalAlpha = Math.max(0.2, 0.9 / Math.sqrt(layers));
    for (let l = 0; l < layers; l++) {
      if (l !== layer) trace(context, frame, panel, from, to, (token) => history.of(token, which, l));
    }
    context.globalAlpha = 1;
  }
  context.lineJoin = "round";
  context.lineWidth = 2;
  context.strokeStyle = theme.accent;
  trace(context, frame, panel, from, to, (token) => history.mean(token, which));
  if (layer === undefined) return;
  context.lineWidth = 1.5;
  context.strokeStyle = theme.ink;
  context.setLineDash([5, 3]);
  trace(context, frame, panel, from, to, (token) => history.of(token, which, layer));
  context.setLineDash([]);
}

function shadePrompt(
  context: CanvasRenderingContext2D,
  frame: Frame,
  { top, bottom, which }: Panel,
  from: number,
  to: number,
  { history }: PlotView,
  theme: Theme,
): void {
  context.fillStyle = theme.raised;
  for (let token = from; token < to; token++) {
    if (!history.prompt(token)) continue;
    const start = token;
    while (token + 1 < to && history.prompt(token + 1)) token++;
    const [left, right] = [frame.x(start) - frame.step / 2, frame.x(token) + frame.step / 2];
    context.fillRect(left, top, right - left, bottom - top);
    if (which !== 0 || right - left < 50) continue;
    context.fillStyle = theme.soft;
    context.font = `11px ${theme.sans}`;
    context.textAlign = "right";
    context.textBaseline = "top";
    context.fillText("prompt", right - 4, top + 4);
    context.fillStyle = theme.raised;
  }
}

/** A line through the values. Where tokens are closer than half a pixel, it joins each pixel's smallest and largest value. */
function trace(
  context: CanvasRenderingContext2D,
  frame: Frame,
  panel: Panel,
  from: number,
  to: number,
  value: (token: number) => number,
): void {
  const every = Math.max(1, Math.floor(1 / frame.step));
  context.beginPath();
  for (let token = from; token < to; token += every) {
    let least = value(token);
    let largest = least;
    for (let t = token + 1; t < Math.min(to, token + every); t++) {
      const v = value(t);
      if (v < least) least = v;
      if (v > largest) largest = v;
    }
    const x = frame.x(token);
    context.lineTo(x, frame.y(panel, least));
    if (largest > least) context.lineTo(x, frame.y(panel, largest));
  }
  context.stroke();
}

/** Each token's text below it, where there is room. */
function drawTexts(context: CanvasRenderingContext2D, frame: Frame, view: PlotView, theme: Theme): void {
  const { history } = view;
  const { bottom } = frame.panels.at(-1)!;
  context.textAlign = "center";
  context.textBaseline = "top";
  if (frame.step < 7) {
    context.font = `11px ${theme.sans}`;
    context.fillStyle = theme.soft;
    const every = [50, 100, 200, 500, 1000].find((n) => n * frame.step >= 60) ?? 2000;
    for (let token = Math.max(view.from, history.first); token < Math.min(view.to, history.end); token++) {
      const position = history.position(token);
      if (position > 0 && position % every === 0) context.fillText(`${position}`, frame.x(token), bottom + 6);
    }
    return;
  }
  context.font = `${Math.min(13, frame.step * 1.5)}px ${theme.mono}`;
  for (let token = Math.max(view.from, history.first); token < Math.min(view.to, history.end); token++) {
    const text = visible(history.text(token));
    context.fillStyle = history.prompt(token) ? theme.soft : theme.ink;
    if (context.measureText(text).width <= frame.step) context.fillText(text, frame.x(token), bottom + 6);
  }
}

function drawMovers(context: CanvasRenderingContext2D, frame: Frame, view: PlotView, theme: Theme): void {
  const { history, movers } = view;
  const panel = frame.panels[0];
  if (panel.which !== 0) return;
  context.font = `600 11px ${theme.sans}`;
  context.textAlign = "center";
  const taken: number[] = [];
  movers.forEach((token, rank) => {
    if (token < view.from || token >= view.to) return;
    const [x, y] = [frame.x(token), frame.y(panel, history.mean(token, 0))];
    const up = history.change(token)! > 0;
    const tip = up ? y - 6 : y + 6;
    const base = up ? tip - 7 : tip + 7;
    context.fillStyle = theme.accent;
    context.strokeStyle = theme.surface;
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(x - 5, tip);
    context.lineTo(x + 5, tip);
    context.lineTo(x, base);
    context.closePath();
    context.stroke();
    context.fill();
    if (taken.some((other) => Math.abs(other - x) < 12)) return;
    taken.push(x);
    context.textBaseline = up ? "bottom" : "top";
    context.lineWidth = 3;
    context.strokeText(`${rank + 1}`, x, up ? base - 1 : base + 2);
    context.fillText(`${rank + 1}`, x, up ? base - 1 : base + 2);
  });
}

function drawCursor(
  context: CanvasRenderingContext2D,
  frame: Frame,
  token: number,
  { history, layer }: PlotView,
  theme: Theme,
): void {
  const x = frame.x(token);
  context.strokeStyle = theme.ink;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(x, frame.panels[0].top);
  context.lineTo(x, frame.panels.at(-1)!.bottom);
  context.stroke();
  for (const panel of frame.panels) {
    const dots: [number, string][] = [[history.mean(token, panel.which), theme.accent]];
    if (layer !== undefined) dots.push([history.of(token, panel.which, layer), theme.ink]);
    for (const [value, colour] of dots) {
      context.fillStyle = colour;
      context.strokeStyle = theme.surface;
      context.lineWidth = 2;
      context.beginPath();
      context.arc(x, frame.y(panel, value), 4.5, 0, 2 * Math.PI);
      context.fill();
      context.stroke();
    }
  }
}
