import { expect, it } from "vitest";
import { ResonantError } from "../common/errors.ts";
import { withinRange } from "./refuse.ts";

const failing = (error: unknown) =>
  withinRange("a.pt", () => {
    throw error;
  }).catch((reason: unknown) => reason);

it("turns a RangeError of any kind into the file's own error, and passes on all others", async () => {
  const nested = (depth: number): unknown[] => (depth === 0 ? [] : [nested(depth - 1)]);
  for (const provoke of [() => "a".repeat(2 ** 31), () => new Array(-1), () => nested(1e6)]) {
    const error = await withinRange<unknown>("a.pt", provoke).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ResonantError);
    expect((error as ResonantError).message).toMatch(/^a\.pt: it asks for more than can be read \(/);
    expect((error as ResonantError).cause).toBeInstanceOf(RangeError);
  }
  const other = new TypeError("a mistake of ours");
  expect(await failing(other)).toBe(other);
  expect(await withinRange("a.pt", async () => 5)).toBe(5);
});
