import { describe, expect, it } from "vitest";
import { mulberry32 } from "../../test/gpu.ts";
import { cutAt, excerpt, runsOf } from "./excerpt.ts";

describe("an excerpt", () => {
  it("shows the match on one line between whole words", () => {
    const text = "The waves make towards the pebbled\n  shore, so do our minutes hasten to their end";
    const start = text.indexOf("shore");
    expect(excerpt(text, { start, end: start + 5 }, 16)).toEqual({
      before: "… the pebbled ",
      match: "shore",
      after: ", so do our …",
    });
  });

  it("has no ellipsis where the text begins and ends", () => {
    expect(excerpt("one two three", { start: 4, end: 7 })).toEqual({
      before: "one ",
      match: "two",
      after: " three",
    });
  });

  it("leaves out the middle of a long match", () => {
    const { match } = excerpt(`${"a".repeat(500)}${"b".repeat(500)}`, { start: 0, end: 1000 });
    expect(match).toBe(`${"a".repeat(80)} … ${"b".repeat(80)}`);
  });

  it("never cuts a character", () => {
    const text = "🌊🌋🌌🌍🌎🌏".repeat(100);
    for (let start = 0; start < 200; start += 2) {
      for (const around of [1, 2, 3, 48]) {
        const shown = excerpt(text, { start, end: start + 2 + 2 * start }, around);
        expect(Object.values(shown).join("")).not.toMatch(/\p{Surrogate}/u);
      }
    }
    expect([cutAt("a🌊", 0), cutAt("a🌊", 1), cutAt("a🌊", 2), cutAt("a🌊", 3)]).toEqual([0, 1, 1, 3]);
  });
});

it("runs of a stretch are the whole of it in order, and each match's part in it its own", () => {
  for (let seed = 1; seed <= 100; seed++) {
    const next = mulberry32(seed);
    const matches: { start: number; end: number }[] = [];
    for (let at = 0; at < 200; ) {
      const start = at + Math.floor(20 * next());
      at = start + 1 + Math.floor(20 * next());
      matches.push({ start, end: at });
    }
    matches.sort(() => next() - 0.5);
    const start = Math.floor(100 * next());
    const end = start + 1 + Math.floor(100 * next());
    const runs = runsOf({ start, end }, matches);
    expect([runs[0]!.start, runs.at(-1)!.end]).toEqual([start, end]);
    expect(runs.slice(1).every((run, i) => run.start === runs[i]!.end)).toBe(true);
    for (const run of runs) {
      for (let at = run.start; at < run.end; at++) {
        const owner = matches.findIndex((match) => at >= match.start && at < match.end);
        expect(run.match).toBe(owner < 0 ? undefined : owner);
      }
    }
  }
});
