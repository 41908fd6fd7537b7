import { expect, it } from "vitest";
import { divided, inTurns, summarize } from "./statistics.ts";

it("computes the median and the quartiles, and interpolates between two values", () => {
  expect(summarize([5, 1, 3, 2, 4])).toEqual({ low: 2, median: 3, high: 4 });
  expect(summarize([4, 1, 2, 3])).toEqual({ low: 1.75, median: 2.5, high: 3.25 });
  expect(summarize([7])).toEqual({ low: 7, median: 7, high: 7 });
  expect(() => summarize([])).toThrow(RangeError);
});

it("turns times into rates; the longest time gives the lowest rate", () => {
  expect(divided(1000, { low: 2, median: 4, high: 5 })).toEqual({ low: 200, median: 250, high: 500 });
});

it("runs the cases in turns, and does not count the first round", async () => {
  const order: string[] = [];
  const progress: number[] = [];
  const values = { a: [100, 1, 2, 3], b: [200, 10, 30, 20] };
  const run = (name: "a" | "b") => async () => {
    order.push(name);
    return values[name][order.filter((each) => each === name).length - 1]!;
  };
  const [a, b] = await inTurns([run("a"), run("b")], 3, (done) => progress.push(done));
  expect(order.join("")).toBe("abababab");
  expect([a?.median, b?.median]).toEqual([2, 20]);
  expect(progress).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});
