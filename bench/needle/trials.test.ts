import { describe, expect, it } from "vitest";
import { seeded } from "../random.ts";
import { damageNames } from "./damage.ts";
import { needleSize, occurrencesOf, randomTokens, type Source, textTokens } from "./data.ts";
import { byteCodec, prose } from "./testing/text.ts";
import { type Haystack, haystacks, type TrialPlan } from "./trials.ts";

const sizes = [needleSize("16")!, needleSize("48b")!];
const plan: TrialPlan = { length: 512, trials: 6, sizes, damages: damageNames };
const sources: readonly Source[] = [randomTokens(byteCodec), await textTokens(prose(1, 6000), byteCodec)];

async function every(source: Source, plan: TrialPlan, seed: number): Promise<Haystack[]> {
  const all: Haystack[] = [];
  for await (const haystack of haystacks(source, plan, seeded(seed))) all.push(haystack);
  return all;
}

describe("a needle's size", () => {
  it("is in tokens or in bytes", () => {
    expect(sizes).toEqual([
      { name: "16", count: 16, unit: "tokens" },
      { name: "48b", count: 48, unit: "bytes" },
    ]);
    expect(["", "0", "b", "16x", "-3", "1.5"].map(needleSize)).toEqual(Array(6).fill(undefined));
  });

  it("in bytes takes as many tokens as contain them", async () => {
    const pairs = { ...byteCodec, bytes: (id: number) => Uint8Array.of(id, id) };
    const source = randomTokens(pairs);
    const context = source.context(100, seeded(1));
    const needles = await Promise.all(
      Array.from({ length: 50 }, (_, seed) => source.present(context, sizes[1]!, seeded(seed))),
    );
    expect(new Set(needles.map((needle) => needle?.length))).toEqual(new Set([24, undefined]));
  });
});

describe.each(sources.map((source) => [source.name, source] as const))(
  "haystacks of %s",
  async (_, source) => {
    const all = await every(source, plan, 3);

    it("have one context per trial, with a needle of every size and condition in each", () => {
      const conditions =
        source.name === "text"
          ? ["none", ...damageNames, "absent"]
          : ["none", "replaced", "inserted", "deleted", "swapped", "absent"];
      expect(all).toHaveLength(6);
      for (const { context, cues } of all) {
        expect(context).toHaveLength(512);
        expect(cues.map(({ size, condition }) => [size, condition])).toEqual(
          sizes.flatMap((size) => conditions.map((condition) => [size, condition])),
        );
      }
      const spread = all.flatMap(({ cues }) => cues[0]!.occurrences);
      expect(Math.max(...spread) - Math.min(...spread)).toBeGreaterThan(150);
    });

    it("list every position of the undamaged needle, and do not contain an absent one", () => {
      for (const { context, cues } of all) {
        for (const { tokens, condition, occurrences, size } of cues) {
          const clean = cues.find((cue) => cue.size === size)!;
          if (condition === "absent") expect(occurrencesOf(tokens, context)).toEqual([]);
          if (condition === "none") expect(tokens).toHaveLength(size.count);
          else expect(tokens).not.toEqual(clean.tokens);
          const expected = condition === "absent" ? [] : occurrencesOf(clean.tokens, context);
          expect(occurrences).toEqual(expected);
          expect(expected.length > 0).toBe(condition !== "absent");
        }
      }
    });

    it("are the same for the same seed, and differ for another", async () => {
      expect(await every(source, plan, 3)).toEqual(all);
      expect((await every(source, plan, 4))[0]!.context).not.toEqual(all[0]!.context);
    });

    it("share a long context between trials", async () => {
      const long = await every(source, { ...plan, length: 10_000, trials: 30 }, 1);
      expect(long.map(({ cues }) => cues.length / all[0]!.cues.length)).toEqual([15, 15]);
    });
  },
);

describe("a haystack of text", () => {
  it("repeats a text that is too short, and lists each position of the needle", async () => {
    const [haystack] = await every(sources[1]!, { ...plan, length: 12_000, trials: 1 }, 1);
    const { context, cues } = haystack!;
    expect(context.subarray(5400)).toEqual(context.subarray(0, 6600));
    const places = cues[0]!.occurrences;
    expect(places.length).toBeGreaterThanOrEqual(2);
    expect(places[1]! - places[0]!).toBe(5400);
  });

  it("never cuts a needle within a character", async () => {
    const source = await textTokens(prose(1, 3000).replaceAll("a", "ä"), byteCodec);
    for (const { cues } of await every(source, plan, 1)) {
      for (const { tokens, condition } of cues) {
        if (condition !== "none" && condition !== "absent") continue;
        expect(new TextDecoder().decode(Uint8Array.from(tokens))).not.toContain("\ufffd");
      }
    }
  });

  it("is refused if the text is too short, or if no needle in it can be damaged", async () => {
    await expect(textTokens("short", byteCodec)).rejects.toThrow(/too few/);
    const digits = await textTokens("0123456789".repeat(200), byteCodec);
    await expect(every(digits, plan, 1)).rejects.toThrow(/no needle of 16/);
    await expect(every(sources[0]!, { ...plan, length: 10 }, 1)).rejects.toThrow(/no needle of 16/);
  });
});

it("finds every occurrence, also overlapping ones", () => {
  expect(occurrencesOf([1, 1], Uint32Array.of(1, 1, 1, 2, 1, 1))).toEqual([0, 1, 4]);
  expect(occurrencesOf([1, 2, 9], Uint32Array.of(1, 2))).toEqual([]);
});
