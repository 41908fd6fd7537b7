import { describe, expect, it } from "vitest";
import { CHUNK } from "../../kernels/memory-scan/memory-scan.ts";
import { chunksOf, cutsOf, PrefixCache } from "./prefix-cache.ts";

/** Chunks of a prompt, each of one token repeated, and one token more. */
const prompt = (...chunks: number[]) =>
  chunksOf([...chunks.flatMap((token) => new Array<number>(CHUNK).fill(token)), 0]);

describe("chunks", () => {
  it("are whole, and leave a token to feed", () => {
    const of = (length: number): number => chunksOf(new Array<number>(length).fill(1)).length;
    expect([1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1].map(of)).toEqual([0, 0, 1, 1, 2]);
  });

  it("are equal where their tokens are, of any size", () => {
    const ids = [0, 1, 0xffff, 0x10000, 0x10001, 0xd800, 2 ** 31 - 1];
    const keys = ids.map((id) => chunksOf(new Array<number>(CHUNK + 1).fill(id))[0]);
    expect(new Set(keys).size).toBe(ids.length);
  });
});

describe("a prompt's cuts", () => {
  it("are chunks, and lie so that whoever shares all but the last n tokens finds one less than 2 n + 64 back", () => {
    for (const length of [1, 64, 65, 129, 500, 4096, 4097, 20_000]) {
      const cuts = cutsOf(length);
      expect(cuts).toEqual([...new Set(cuts)].sort((a, b) => a - b));
      expect(cuts.every((cut) => cut > 0 && cut < length && cut % CHUNK === 0)).toBe(true);
      for (let n = 0; n < length; n += 7) {
        const best = Math.max(0, ...cuts.filter((cut) => cut <= length - n));
        expect(length - best, `${n} of ${length}`).toBeLessThanOrEqual(Math.max(CHUNK, 2 * n + CHUNK));
      }
    }
  });
});

describe("a cache of prefixes", () => {
  it("finds the longest prefix that is kept, and how far prompts agree beyond it", () => {
    const cache = new PrefixCache(4);
    expect(cache.find("me", prompt(1, 2, 3))).toEqual({ kept: 0, row: undefined, shared: 0 });
    const one = cache.keep("me", prompt(1, 2, 3, 4), CHUNK);
    const three = cache.keep("me", prompt(1, 2, 3, 4), 3 * CHUNK);
    expect(three).not.toBe(one);
    expect(cache.find("me", prompt(1, 2, 3, 4))).toEqual({ kept: 3 * CHUNK, row: three, shared: 3 * CHUNK });
    expect(cache.find("me", prompt(1, 2, 9, 9))).toEqual({ kept: CHUNK, row: one, shared: 2 * CHUNK });
    expect(cache.find("me", prompt(9, 2, 3))).toEqual({ kept: 0, row: undefined, shared: 0 });
    expect(cache.keep("me", prompt(1, 2, 3), CHUNK)).toBeUndefined();
  });

  it("shows a client nothing of another's", () => {
    const cache = new PrefixCache(4);
    cache.keep("me", prompt(1, 2), CHUNK);
    expect(cache.find("you", prompt(1, 2))).toEqual({ kept: 0, row: undefined, shared: 0 });
  });

  it("keeps no more states than it has rows, and gives up the one not used for longest", () => {
    const cache = new PrefixCache(3);
    const rows = [1, 2, 3].map((token) => cache.keep("me", prompt(token), CHUNK));
    expect(rows).toEqual([0, 1, 2]);
    cache.find("me", prompt(1));
    expect(cache.keep("me", prompt(4), CHUNK)).toBe(rows[1]);
    expect(cache.size).toBe(3);
    const kept = [1, 2, 3, 4].map((token) => cache.find("me", prompt(token)).kept > 0);
    expect(kept).toEqual([true, false, true, true]);
  });

  it("remembers nothing of what led only to a state that was given up", () => {
    const cache = new PrefixCache(1);
    cache.keep("me", prompt(1, 2, 3), 3 * CHUNK);
    cache.keep("me", prompt(1, 2, 3), CHUNK); // in its place, on its way
    expect(cache.find("me", prompt(1, 2, 3))).toMatchObject({ kept: CHUNK, shared: CHUNK });
    cache.keep("you", prompt(7), CHUNK);
    expect(cache.find("me", prompt(1, 2, 3))).toMatchObject({ kept: 0, shared: 0 });
  });
});
