import { describe, expect, it } from "vitest";
import { merge } from "./merge.ts";

/** Yields `items` at these moments, in milliseconds; `ended` tells whether its end was run. */
function source(moments: readonly number[], fail = false) {
  const state = { ended: false };
  const generator = (async function* () {
    try {
      let now = 0;
      for (const moment of moments) {
        await new Promise((resolve) => setTimeout(resolve, moment - now));
        now = moment;
        yield moment;
      }
      if (fail) throw new Error("it failed");
    } finally {
      state.ended = true;
    }
  })();
  return { generator, state };
}

describe("merge", () => {
  it("yields as it comes, and each source in its order", async () => {
    const sources = [source([20, 60]), source([40]), source([])];
    const found: [number, number][] = [];
    const ended = new AbortController();
    for await (const { index, item } of merge(
      sources.map(({ generator }) => generator),
      ended,
    )) {
      found.push([index, item]);
    }
    expect(found).toEqual([
      [0, 20],
      [1, 40],
      [0, 60],
    ]);
    expect(sources.every(({ state }) => state.ended)).toBe(true);
  });

  it("ends all sources where the reader leaves or one of them fails, and tells those that wait", async () => {
    for (const fail of [false, true]) {
      const sources = [source([5], fail), source([10, 20, 30])];
      const ended = new AbortController();
      const reading = (async () => {
        for await (const { index } of merge(
          sources.map(({ generator }) => generator),
          ended,
        )) {
          if (index === 0 && !fail) return "left";
        }
        return "read";
      })();
      if (fail) await expect(reading).rejects.toThrow("it failed");
      else expect(await reading).toBe("left");
      expect(ended.signal.aborted).toBe(true);
      expect(sources.every(({ state }) => state.ended)).toBe(true);
    }
  });
});
