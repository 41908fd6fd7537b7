import { describe, expect, it } from "vitest";
import type { TokenTrace, TraceShape } from "../trace.ts";
import { History, KEPT } from "./history.ts";

const shape: TraceShape = { layers: 2, size: 4, rows: 2, vectorRow: 0, latticeRow: 1, grid: [1, 2] };

function trace(position: number, r: readonly [number, number], more: Partial<TokenTrace> = {}): TokenTrace {
  const measures = Float32Array.of(r[0], 0.25, 0, 0, r[1], 0.75, 0, 0);
  return {
    position,
    offset: position,
    text: "abc"[position % 3]!,
    prompt: false,
    measures,
    state: undefined,
    ...more,
  };
}

describe("a history", () => {
  it("gives each token's measures, by layer and as their mean, and what it was told of the token", () => {
    const history = new History(shape);
    history.push(trace(7, [0.5, 0.25], { offset: 9, text: "Ω", prompt: true }));
    expect([history.first, history.end]).toEqual([0, 1]);
    expect([history.of(0, 0, 0), history.of(0, 0, 1), history.mean(0, 0)]).toEqual([0.5, 0.25, 0.375]);
    expect([history.of(0, 1, 0), history.of(0, 1, 1), history.mean(0, 1)]).toEqual([0.25, 0.75, 0.5]);
    expect([history.position(0), history.offset(0), history.text(0), history.prompt(0)]).toEqual([
      7,
      9,
      "Ω",
      true,
    ]);
  });

  it("knows how much a token moved the mean R, but not for one without the token before it", () => {
    const history = new History(shape);
    history.push(trace(0, [0.5, 0.5]));
    history.push(trace(1, [0.25, 0.25]));
    history.push(trace(2, [0.5, 0.75]));
    history.push(trace(9, [0, 0]));
    expect([0, 1, 2, 3].map((token) => history.change(token))).toEqual([undefined, -0.25, 0.375, undefined]);
    expect(history.moved(1)).toBe(0.25);
    expect(history.topMovers(5)).toEqual([2, 1]);
    expect(history.topMovers(1)).toEqual([2]);
    expect(history.topMovers(0)).toEqual([]);
  });

  it("keeps the last tokens only, and finds movers among those asked for", () => {
    const history = new History(shape);
    const level = (i: number) => (i === 3 ? 8 : i === 4000 ? 4 : i === 6000 ? 2 : 0);
    for (let i = 0; i < 7000; i++) history.push(trace(i, [level(i), level(i)]));
    expect([history.first, history.end]).toEqual([7000 - KEPT, 7000]);
    expect(history.position(history.first)).toBe(7000 - KEPT);
    expect(history.topMovers(2)).toEqual([4000, 4001]);
    expect(history.topMovers(1, 4002)).toEqual([6000]);
    expect(history.before(4000, 4)).toBe("abca");
  });

  it("takes back what a stream writes again, but nothing that it has let go of before", () => {
    const history = new History(shape);
    for (let i = 0; i < 5; i++) history.push(trace(i, [i / 8, i / 8]));
    history.push(trace(3, [1, 1]));
    expect(history.end).toBe(4);
    expect([2, 3].map((token) => history.position(token))).toEqual([2, 3]);
    expect(history.change(3)).toBe(0.75);
    for (let i = 4; i < KEPT + 10; i++) history.push(trace(i, [0, 0]));
    history.push(trace(KEPT, [0, 0]));
    expect([history.first, history.end]).toEqual([10, KEPT + 1]);
    expect(history.position(10)).toBe(10);
    expect(history.position(KEPT)).toBe(KEPT);
  });

  it("finds the same movers as a full sort", () => {
    const history = new History(shape);
    let seed = 1;
    for (let i = 0; i < 300; i++) {
      seed = (seed * 48271) % 2147483647;
      history.push(trace(i, [seed / 2147483647, 0]));
    }
    const sorted = Array.from({ length: 299 }, (_, i) => i + 1).sort(
      (a, b) => history.moved(b)! - history.moved(a)!,
    );
    expect(history.topMovers(20)).toEqual(sorted.slice(0, 20));
  });

  it("keeps the newest state, past tokens that have none", () => {
    const history = new History(shape);
    const [one, two] = [new Float32Array(16), new Float32Array(16)];
    history.push(trace(0, [0, 0], { state: one }));
    history.push(trace(1, [0, 0], { state: two }));
    history.push(trace(2, [0, 0]));
    expect(history.state).toBe(two);
    history.clear();
    expect([history.state, history.end]).toEqual([undefined, 0]);
  });

  it("tells its listeners of every token and of its clearing, until they leave", () => {
    const history = new History(shape);
    let heard = 0;
    const leave = history.subscribe(() => heard++);
    history.push(trace(0, [0, 0]));
    history.clear();
    leave();
    history.push(trace(0, [0, 0]));
    expect(heard).toBe(2);
  });
});
