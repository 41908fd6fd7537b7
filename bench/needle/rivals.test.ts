import { describe, expect, it } from "vitest";
import { seeded } from "../random.ts";
import { needleSize, randomTokens, textTokens } from "./data.ts";
import { loadRivals, textStrings, tokenStrings } from "./rivals.ts";
import type { Searcher } from "./searcher.ts";
import { byteCodec, prose } from "./testing/text.ts";
import { type Cue, type Haystack, haystacks } from "./trials.ts";

const rivals = await loadRivals();
const sources = [
  ["random tokens", randomTokens(byteCodec), tokenStrings],
  ["text", await textTokens(prose(2, 8000), byteCodec), textStrings(byteCodec)],
] as const;
const named = (searchers: readonly Searcher[], name: string): Searcher =>
  searchers.find((searcher) => searcher.name === name)!;

describe.each(sources)("in %s", async (_, source, codec) => {
  const plan = {
    length: 2000,
    trials: 5,
    sizes: [needleSize("48")!],
    damages: ["replaced", "deleted"],
  } as const;
  const all: Haystack[] = [];
  for await (const haystack of haystacks(source, plan, seeded(1))) all.push(haystack);
  const searchers = rivals(codec);

  it.each(["exact", "bm25", "edit"])("%s finds clean needles at their positions", async (name) => {
    for (const { context, cues } of all) {
      const { hits, ms, indexMs = 0 } = await named(searchers, name).search(context, cues, 5);
      cues.forEach(({ condition, occurrences }: Cue, i) => {
        expect(hits[i]!.length).toBeLessThanOrEqual(5);
        if (condition === "none") expect(hits[i]![0]?.position).toBe(occurrences[0]);
        if (condition === "none" && name !== "bm25") {
          expect(hits[i]![0]).toMatchObject({ length: 48, similarity: 1, confidence: 1 });
        }
        if (condition !== "none" && name === "exact") expect(hits[i]).toEqual([]);
      });
      expect(ms).toBeGreaterThan(0);
      expect(indexMs).toBeGreaterThanOrEqual(0);
    }
  });

  it("the edit distance finds damaged needles with less confidence, and no absent ones", async () => {
    for (const { context, cues } of all) {
      const { hits } = await named(searchers, "edit").search(context, cues, 5);
      cues.forEach(({ condition, occurrences }, i) => {
        if (condition === "replaced") expect(hits[i]![0]!.confidence).toBeCloseTo(0.75, 2);
        if (condition === "deleted") expect(hits[i]![0]!.confidence).toBeCloseTo(1 - 1 / 47, 10);
        if (condition === "replaced" || condition === "deleted") {
          expect(Math.abs(hits[i]![0]!.position - occurrences[0]!)).toBeLessThanOrEqual(2);
        }
        if (condition === "absent") expect(hits[i]?.[0]?.confidence ?? 0).toBeLessThan(0.75);
      });
    }
  });

  it("each reports the memory of a single search", async () => {
    // Long enough for an index that is far larger than what else comes and goes on the heap.
    const drawn = haystacks(source, { ...plan, length: 100_000, trials: 1 }, seeded(1));
    const { context, cues } = (await drawn.next()).value as Haystack;
    for (const searcher of searchers) {
      const { workingBytes } = await searcher.search(context, cues.slice(0, 1), 5);
      expect(workingBytes).toBeGreaterThan(100);
    }
  });
});

describe("exact search", () => {
  const exact = named(rivals(tokenStrings), "exact");
  const search = async (context: readonly number[], tokens: readonly number[], topK: number) =>
    (await exact.search(Uint32Array.from(context), [{ tokens }], topK)).hits[0]!.map(
      ({ position }) => position,
    );

  it("finds tokens, not bytes that span two tokens", async () => {
    expect(await search([0x0141, 0x4101, 0x4141, 0x0101], [0x0141], 5)).toEqual([0]);
    expect(await search([0x4141, 0x4142, 0x4141], [0x4141], 5)).toEqual([0, 2]);
  });

  it("finds at most the requested number of hits", async () => {
    expect(await search([7, 1, 7, 7, 2, 7], [7], 3)).toEqual([0, 2, 3]);
  });
});

describe("text as strings", () => {
  const bytes = (id: number): Uint8Array => new TextEncoder().encode(["", "Old ", "é", "x y"][id]!);
  const codec = textStrings({ bytes });

  it("converts positions if tokens have several bytes", () => {
    const { text, token } = codec.write([1, 2, 3]);
    expect(text).toHaveLength(9);
    expect(Array.from({ length: 9 }, (_, unit) => token(unit))).toEqual([0, 0, 0, 0, 1, 1, 2, 2, 2]);
  });

  it("splits words of any script, in lower case", () => {
    const { text } = codec.write([1, 2, 3]);
    expect(codec.terms(text)).toEqual([
      { term: "old", at: 0 },
      { term: expect.stringMatching(/x$/), at: 4 },
      { term: "y", at: 8 },
    ]);
  });
});
