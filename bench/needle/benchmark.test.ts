import { describe, expect, it } from "vitest";
import { defaultTrials, needleBenchmark } from "./benchmark.ts";
import { needleSize, occurrencesOf, randomTokens, textTokens } from "./data.ts";
import { needlePlot } from "./plot.ts";
import { needleJson, needleTables } from "./report.ts";
import { loadRivals, textStrings, tokenStrings } from "./rivals.ts";
import type { Hit, Searcher } from "./searcher.ts";
import { byteCodec, prose } from "./testing/text.ts";

/** Reports exact matches three tokens too late; for other needles it reports the start of the context. */
const late: Searcher = {
  name: "<late>",
  search: async (context, needles) => ({
    hits: needles.map(({ tokens }): Hit[] => {
      const places = occurrencesOf(tokens, context).map((at) => at + 3);
      const found = places.length > 0;
      return (found ? [...places, places[0]! - 2] : [0]).map((position) => {
        return { position, length: tokens.length, similarity: 1, confidence: Number(found) };
      });
    }),
    ms: 2,
    workingBytes: 64,
  }),
};

const rivals = await loadRivals();
const groups = await needleBenchmark({
  contests: [
    { source: randomTokens(byteCodec), searchers: [late, ...rivals(tokenStrings)] },
    {
      source: await textTokens(prose(1, 5000), byteCodec),
      searchers: [late, ...rivals(textStrings(byteCodec))],
    },
  ],
  lengths: [512, 700],
  sizes: [needleSize("16")!, needleSize("48b")!],
  damages: ["replaced", "case"],
  trials: 5,
  seed: 1,
});

describe("the benchmark", () => {
  it("has a result for each source, length, size and searcher", () => {
    expect(groups).toHaveLength(2 * 2 * 2 * 4);
    expect(groups.map(({ searcher }) => searcher).slice(0, 4)).toEqual(["<late>", "exact", "bm25", "edit"]);
    const protocol = groups.filter(({ reference }) => reference);
    expect(protocol.map(({ source, length, needle }) => [source, length, needle])).toEqual(
      Array(4).fill(["random", 512, "16"]),
    );
    expect(groups.indexOf(protocol[0]!)).toBe(0);
    for (const { source, rows } of groups) {
      expect(rows.map(({ condition, trials }) => [condition, trials])).toEqual([
        ["none", 5],
        ["replaced", 5],
        ...(source === "text" ? [["case", 5]] : []),
        ["damaged", source === "text" ? 10 : 5],
        ["absent", 5],
      ]);
    }
  });

  it("measures how well and how fast a searcher finds needles", () => {
    for (const { searcher, ms, indexMs, workingBytes, rows } of groups) {
      const [clean, replaced] = rows;
      if (searcher === "<late>") {
        expect(clean).toMatchObject({ hit1: 0, hit5: 1, found: 5, meanError: 3, medianError: 3, auc: 1 });
        expect(replaced).toMatchObject({ hit1: 0, hit5: 0, found: 5, auc: 0.5, medianConfidence: 0 });
        expect([ms, indexMs, workingBytes]).toEqual([2, 0, 64]);
      }
      if (searcher === "exact") {
        expect(clean).toMatchObject({ hit1: 1, hit5: 1, found: 5, meanError: 0, auc: 1 });
        expect(replaced).toMatchObject({ hit1: 0, found: 0, meanError: Number.NaN, auc: 0.5 });
      }
      if (searcher === "edit") expect([clean!.hit1, replaced!.hit1, clean!.auc]).toEqual([1, 1, 1]);
      expect(rows.at(-1)).toMatchObject({ condition: "absent", hit1: Number.NaN, auc: Number.NaN });
    }
  });

  it("runs fewer trials from a million tokens on", () => {
    expect([512, 999_999, 1_000_000, 1_048_576].map(defaultTrials)).toEqual([100, 100, 20, 20]);
  });

  it("reports its progress until all work is done", async () => {
    const told: [number, number][] = [];
    await needleBenchmark({
      contests: [{ source: randomTokens(byteCodec), searchers: [late, late] }],
      lengths: [64, 10_000],
      sizes: [needleSize("16")!],
      damages: ["deleted", "spacing"],
      trials: 3,
      seed: 1,
      onProgress: (done, total) => told.push([done, total]),
    });
    expect(told[0]![0]).toBe(0);
    expect(told.at(-1)![0]).toBe(told.at(-1)![1]);
    expect(told.map(([done]) => done)).toEqual(told.map(([done]) => done).sort((a, b) => a - b));
  });

  it("rethrows a searcher's error", async () => {
    const broken: Searcher = { name: "broken", search: () => Promise.reject(new Error("lost")) };
    const source = randomTokens(byteCodec);
    await expect(
      needleBenchmark({
        contests: [{ source, searchers: [broken] }],
        lengths: [64],
        sizes: [needleSize("16")!],
        damages: [],
        trials: 1,
        seed: 1,
      }),
    ).rejects.toThrow("lost");
  });
});

describe("its report", () => {
  it("is JSON, with null for NaN", () => {
    const json = JSON.parse(JSON.stringify(needleJson(groups)));
    expect(json).toHaveLength(groups.length);
    expect(json[0]).toEqual({
      source: "random",
      length: 512,
      needle: "16",
      searcher: "<late>",
      reference: true,
      ms: 2,
      index_ms: 0,
      working_bytes: 64,
      rows: expect.any(Array),
    });
    expect(json[0].rows[0]).toEqual({
      condition: "none",
      trials: 5,
      hit_1: 0,
      hit_5: 1,
      found: 5,
      mean_error: 3,
      median_error: 3,
      auc: 1,
      median_confidence: 1,
      least_similarity: 1,
    });
    expect(json[0].rows.at(-1)).toMatchObject({ condition: "absent", hit_1: null, auc: null });
  });

  it("has a table for each source, length and needle, with equally many cells in each line", () => {
    const tables = needleTables(groups);
    expect(tables.map(({ title }) => title)).toEqual(
      ["random tokens", "tokens of text"].flatMap((source) =>
        [512, 700].flatMap((length) =>
          ["16 tokens", "48 bytes"].map((size) => {
            const title = `${length} ${source}, needles of ${size}, 5 trials`;
            return title.startsWith("512 random tokens, needles of 16")
              ? `${title} (the reference's protocol)`
              : title;
          }),
        ),
      ),
    );
    for (const { table } of tables) {
      expect(table).toHaveLength(5);
      expect(new Set(table.map((line) => line.length)).size).toBe(1);
      expect(table.flat().join()).not.toContain("NaN");
    }
    expect(tables[0]!.table[1]!.slice(0, 4)).toEqual(["<late>", "0 100", "0 0", "1.000"]);
  });
});

describe("its plot", () => {
  it("is well-formed, with a line for each searcher in each panel", () => {
    // What was measured may be 0, for which a logarithmic axis has no place.
    const measured = groups.map((group, i) => ({ ...group, ms: 1 + i, indexMs: 1, workingBytes: 1000 + i }));
    const svg = needlePlot('Needles & "hay" <1>', measured);
    expect(elements(svg)).toMatchObject({ svg: 1, title: 1 });
    expect(svg).not.toMatch(/NaN|undefined|Infinity/);
    expect(svg).toContain("Needles &#38; &#34;hay&#34; &#60;1&#62;");
    const panels = 4 * 6;
    expect(svg.match(/<path d="M[^"Z]*L[^"Z]*" fill="none" stroke="#/g)).toHaveLength(4 * panels);
  });

  it("can be drawn for a single length, for a searcher that took no time, and for no results", () => {
    const one = groups
      .filter(({ length }) => length === 512)
      .map((group) => ({ ...group, ms: 0, indexMs: 0 }));
    for (const some of [one, one.slice(0, 1), []]) {
      const svg = needlePlot("few", some);
      expect(elements(svg)).toMatchObject({ svg: 1 });
      expect(svg).not.toMatch(/NaN|undefined|Infinity/);
    }
  });

  /** Counts the elements by name; fails unless all of them are closed in order. */
  function elements(svg: string): Record<string, number> {
    const counts: Record<string, number> = {};
    const open: string[] = [];
    const rest = svg.replace(/<(\/?)([a-z]+)((?: [\w:-]+="[^"<]*")*)(\/?)>/g, (_, end, name, __, empty) => {
      if (end) expect(open.pop()).toBe(name);
      else {
        counts[name] = (counts[name] ?? 0) + 1;
        if (!empty) open.push(name);
      }
      return "";
    });
    expect(open).toEqual([]);
    expect(rest).not.toMatch(/[<>]|&(?!#\d+;)/);
    return counts;
  }
});
