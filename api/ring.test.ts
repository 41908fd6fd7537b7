import { expect, it } from "vitest";
import { Ring } from "./ring.ts";

it("keeps items in the order in which they came, each once, and gives up any of them", () => {
  const ring = new Ring<string>();
  const rest = (): string => {
    let found = "";
    for (let { first } = ring; first !== undefined; { first } = ring) {
      found += first;
      ring.delete(first);
    }
    return found;
  };
  expect([ring.size, ring.first]).toEqual([0, undefined]);
  for (const item of "abcbad") ring.add(item);
  expect(ring.size).toBe(4);
  for (const item of "cx") ring.delete(item);
  ring.delete("a");
  ring.add("a");
  expect(rest()).toBe("bda");
  for (const item of "xy") ring.add(item);
  ring.delete("y"); // the last
  ring.add("z");
  expect(rest()).toBe("xz");
  expect(ring.size).toBe(0);
});
