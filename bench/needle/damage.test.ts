import { describe, expect, it } from "vitest";
import { seeded } from "../random.ts";
import { type DamageName, damage, damageNames, type Vocabulary } from "./damage.ts";

const ids = (text: string): readonly number[] => [...new TextEncoder().encode(text)];
const vocabulary: Vocabulary = {
  alphabet: Array.from({ length: 256 }, (_, id) => id),
  text: {
    encode: async (text) => ids(text),
    decode: (ids) => new TextDecoder().decode(Uint8Array.from(ids)),
  },
};
const needle = ids("The 3 Ships are lost\tat Sea");

/** Damages a needle with many seeds; returns each result. */
const each = (
  name: DamageName,
  tokens = needle,
  of = vocabulary,
): Promise<(readonly number[] | undefined)[]> =>
  Promise.all(Array.from({ length: 200 }, (_, seed) => damage(name, tokens, seeded(seed), of)));

const differences = (a: readonly number[], b: readonly number[]): number[] =>
  a.flatMap((token, i) => (token === b[i] ? [] : [i]));

describe("a damage", () => {
  it("replaces a quarter of the tokens, at any positions, each by another token", async () => {
    const places = (await each("replaced")).flatMap((damaged) => {
      expect(damaged).toHaveLength(needle.length);
      const changed = differences(needle, damaged!);
      expect(changed).toHaveLength(Math.round(needle.length / 4));
      return changed;
    });
    expect(new Set(places).size).toBe(needle.length);
    expect(new Set((await each("replaced", [1, 2], { alphabet: [1, 2] })).map(String))).toEqual(
      new Set(["2,2", "1,1"]),
    );
  });

  it("inserts one token between two others", async () => {
    const places = (await each("inserted")).map((damaged) => {
      expect(damaged).toHaveLength(needle.length + 1);
      expect([damaged![0], damaged!.at(-1)]).toEqual([needle[0], needle.at(-1)]);
      const at = differences(damaged!, needle)[0]!;
      expect(damaged!.toSpliced(at, 1)).toEqual(needle);
      return at;
    });
    expect(new Set(places).size).toBeGreaterThan(needle.length / 2);
  });

  it("deletes one token, neither the first nor the last", async () => {
    for (const damaged of await each("deleted")) {
      expect(damaged).toHaveLength(needle.length - 1);
      const at = differences(needle, damaged!)[0]!;
      expect(needle.toSpliced(at, 1)).toEqual(damaged);
      expect([damaged![0], damaged!.at(-1)]).toEqual([needle[0], needle.at(-1)]);
    }
  });

  it("swaps two neighbours that differ", async () => {
    for (const tokens of [needle, [5, 5, 5, 6]]) {
      for (const damaged of await each("swapped", tokens)) {
        const [at, next, ...more] = differences(tokens, damaged!);
        expect([next, more]).toEqual([at! + 1, []]);
        expect([damaged![at!], damaged![next!]]).toEqual([tokens[next!], tokens[at!]]);
      }
    }
  });

  it("changes the case of every letter, and nothing else", async () => {
    expect(await damage("case", needle, seeded(1), vocabulary)).toEqual(ids("tHE 3 sHIPS ARE LOST\tAT sEA"));
    expect(await damage("case", ids("Été"), seeded(1), vocabulary)).toEqual(ids("éTÉ"));
  });

  it("changes every white-space character, and nothing else", async () => {
    const texts = (await each("spacing")).map((damaged) => vocabulary.text!.decode(damaged!));
    expect(new Set(texts).size).toBeGreaterThan(20);
    for (const text of texts) {
      expect(text).toMatch(/^The( {2}|\n)3( {2}|\n)Ships( {2}|\n)are( {2}|\n)lost( {2}|\n)at( {2}|\n)Sea$/);
    }
  });

  it.each<[DamageName, string]>([
    ["inserted", "x"],
    ["deleted", "xy"],
    ["swapped", "xxxx"],
    ["case", "123 4"],
    ["spacing", "word"],
  ])("%s cannot be applied to %j", async (name, text) => {
    expect(await damage(name, ids(text), seeded(1), vocabulary)).toBeUndefined();
  });

  it("is the same for the same seed", async () => {
    for (const name of damageNames) expect(await each(name)).toEqual(await each(name));
  });
});
