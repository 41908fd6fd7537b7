import { describe, expect, it } from "vitest";
import { Merge } from "./merge.ts";

/** A generator whose items come when the test says so. */
function source() {
  const state = { asked: 0, ended: false };
  let settle: { resolve: (item: number | undefined) => void; reject: (error: Error) => void };
  const generator = (async function* () {
    try {
      for (;;) {
        state.asked++;
        const item = await new Promise<number | undefined>((resolve, reject) => {
          settle = { resolve, reject };
        });
        if (item === undefined) return;
        yield item;
      }
    } finally {
      state.ended = true;
    }
  })();
  return {
    state,
    generator,
    give: (item: number) => settle.resolve(item),
    end: () => settle.resolve(undefined),
    fail: (error: Error) => settle.reject(error),
  };
}

function start(count: number) {
  const ended = new AbortController();
  const gone = new AbortController();
  const merge = new Merge<number>(count, gone.signal, () => ended.abort());
  const sources = Array.from({ length: count }, source);
  const begin = (index: number): void => merge.begin(index, sources[index]!.generator);
  return { merge, ended, gone, sources, begin, items: merge.items() };
}

const soon = () => new Promise((resolve) => setImmediate(resolve));

describe("merge", () => {
  it("yields as it comes, each source in its order, and waits for those that have not begun", async () => {
    const { items, sources, begin, ended } = start(3);
    const found: number[][] = [];
    const reading = (async () => {
      for await (const { index, item } of items) found.push([index, item]);
    })();
    begin(0);
    begin(1);
    await soon();
    for (const [index, item] of [
      [0, 20],
      [1, 40],
      [0, 60],
    ] as const) {
      sources[index]!.give(item);
      await soon();
    }
    expect(found).toEqual([
      [0, 20],
      [1, 40],
      [0, 60],
    ]);
    for (const index of [0, 1]) sources[index]!.end();
    await soon();
    expect(ended.signal.aborted).toBe(false);
    begin(2);
    await soon();
    sources[2]!.end();
    await reading;
    expect([ended.signal.aborted, sources.every(({ state }) => state.ended)]).toEqual([true, true]);
  });

  it("reads each source one item ahead of its reader, and no further", async () => {
    const { items, sources, begin } = start(2);
    const first = items.next();
    begin(0);
    begin(1);
    await soon();
    sources[0]!.give(1);
    sources[1]!.give(2);
    expect(await first).toEqual({ done: false, value: { index: 0, item: 1 } });
    await soon();
    expect(sources.map(({ state }) => state.asked)).toEqual([2, 1]);
    sources[0]!.give(3);
    await soon();
    await soon();
    expect(sources.map(({ state }) => state.asked)).toEqual([2, 1]);
    expect((await items.next()).value).toEqual({ index: 1, item: 2 });
    const left = items.return();
    await soon();
    sources[1]!.end();
    await left;
  });

  it("ends all sources where the reader leaves, one of them fails or the signal is aborted", async () => {
    for (const how of ["leaves", "fails", "gone"] as const) {
      const { items, sources, begin, ended, gone } = start(3);
      ended.signal.addEventListener("abort", () => sources[1]!.fail(new Error("ended too")));
      const reading = (async () => {
        for await (const _ of items) if (how === "leaves") return "left";
        return "read";
      })();
      begin(0);
      begin(1);
      await soon();
      sources[0]!.give(1);
      await soon();
      if (how === "fails") sources[0]!.fail(new Error("it failed"));
      if (how === "gone") {
        gone.abort(new Error("it is gone"));
        sources[0]!.end();
      }
      if (how === "leaves") {
        sources[0]!.end();
        expect(await reading).toBe("left");
      } else {
        await expect(reading).rejects.toThrow(how === "fails" ? "it failed" : "it is gone");
      }
      expect(ended.signal.aborted).toBe(true);
      expect(sources.slice(0, 2).every(({ state }) => state.ended)).toBe(true);
    }
  });
});
