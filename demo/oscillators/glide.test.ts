import { expect, it } from "vitest";
import { LatticeCells } from "../../engine/diagnostics/lattice-cells.ts";
import type { TraceShape } from "../trace.ts";
import { Glide } from "./glide.ts";
import { History } from "./history.ts";

const shape: TraceShape = { layers: 2, size: 4, rows: 3, vectorRow: 1, latticeRow: 2, grid: [1, 2] };
const state = (seed: number) => Float32Array.from({ length: 24 }, (_, i) => Math.sin(seed * (i + 1)));
const push = (history: History, position: number, of: Float32Array<ArrayBuffer> | undefined) =>
  history.push({
    position,
    offset: 0,
    text: "",
    prompt: false,
    measures: new Float32Array(8),
    state: of,
  });

const vectorOf = (s: Float32Array) => [...s.subarray(4, 8), ...s.subarray(16, 20)];

it("a glide shows the measured state at rest, each layer's own rows, the lattice as cells", () => {
  const history = new History(shape);
  const glide = new Glide(history);
  const [a, b] = [state(1), state(2)];
  push(history, 0, a);
  glide.advance(0, false);
  push(history, 1, b);
  glide.advance(1000, false);
  expect([...glide.vector!.shown]).toEqual(vectorOf(a));
  for (let now = 1100; !glide.resting && now < 60_000; now += 100) glide.advance(now, false);
  expect(glide.resting).toBe(true);
  expect([...glide.vector!.shown]).toEqual(vectorOf(b));
  const cells = new Float32Array(8);
  for (const layer of [0, 1]) {
    const from = 12 * layer + 8;
    new LatticeCells([1, 2]).write(b.subarray(from, from + 4), cells.subarray(4 * layer, 4 * layer + 4));
  }
  expect(glide.cells!.shown).toEqual(cells);
});

it("a glide is between two states on its way, and moves no more once there", () => {
  const history = new History(shape);
  const glide = new Glide(history);
  const [a, b] = [state(1), state(2)];
  push(history, 0, a);
  glide.advance(0, false);
  push(history, 1, b);
  glide.advance(100, false);
  expect(glide.advance(120, false)).toBe(true);
  vectorOf(a).forEach((from, i) => {
    const [shown, to] = [glide.vector!.shown[i]!, vectorOf(b)[i]!];
    const part = (shown - from) / (to - from);
    expect(part).toBeGreaterThan(0);
    expect(part).toBeLessThan(1);
  });
  for (let now = 500; !glide.resting && now < 60_000; now += 100) {
    expect(glide.advance(now, false)).toBe(true);
  }
  expect(glide.resting).toBe(true);
  expect(glide.advance(70_000, false)).toBe(false);
});

it("a still glide is at the newest state at once", () => {
  const history = new History(shape);
  const glide = new Glide(history);
  push(history, 0, state(1));
  glide.advance(0, true);
  push(history, 1, state(2));
  glide.advance(1, true);
  expect(glide.resting).toBe(true);
  expect([...glide.vector!.shown]).toEqual(vectorOf(state(2)));
});

it("a glide's scale is never less than the longest number shown", () => {
  const history = new History(shape);
  const glide = new Glide(history);
  for (let i = 0; i < 20; i++) {
    push(
      history,
      i,
      state(i + 1).map((x) => x * (i % 5)),
    );
    for (let step = 0; step < 3; step++) {
      glide.advance(40 * i + 13 * step, false);
      for (const way of [glide.vector!, glide.cells!]) {
        for (const layer of [0, 1]) {
          for (const j of [0, 1]) {
            const at = 4 * layer + j;
            const modulus = Math.hypot(way.shown[at]!, way.shown[at + 2]!);
            expect(modulus).toBeLessThanOrEqual(way.scale[layer]! * 1.000001);
          }
        }
      }
    }
  }
});

it("a glide is empty again when the history is cleared", () => {
  const history = new History(shape);
  const glide = new Glide(history);
  push(history, 0, state(1));
  glide.advance(0, false);
  history.clear();
  glide.advance(10, true);
  expect(glide.vector!.shown.every((x) => x === 0)).toBe(true);
  expect(glide.resting).toBe(true);
});
