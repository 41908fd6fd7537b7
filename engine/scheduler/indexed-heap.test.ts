import { expect, it } from "vitest";
import { below, seeded } from "../../bench/random.ts";
import { IndexedHeap } from "./indexed-heap.ts";

it("has first what comes first, whatever is added, changed and deleted", () => {
  const random = seeded(3);
  const items: { rank: number }[] = [];
  const heap = new IndexedHeap<{ rank: number }>((a, b) => a.rank < b.rank);
  for (let i = 0; i < 3000; i++) {
    const what = below(random, items.length < 50 ? 4 : 8);
    const at = below(random, items.length);
    const item = items[at];
    if (what < 3 || !item) {
      const added = { rank: random() };
      items.push(added);
      heap.add(added);
    } else if (what < 6) {
      item.rank = random();
      heap.update(item);
    } else {
      items.splice(at, 1);
      heap.delete(item);
      heap.delete(item); // it is not there any more
    }
    const first = items.reduce((least, each) => (each.rank < least.rank ? each : least), items[0]!);
    expect(heap.first).toBe(first);
    expect(heap.size).toBe(items.length);
  }
  expect(items.length).toBeGreaterThan(20);
  const sorted = items.map(({ rank }) => rank).sort((a, b) => a - b);
  const taken: number[] = [];
  for (let first = heap.first; first; first = heap.first) {
    taken.push(first.rank);
    heap.delete(first);
  }
  expect(taken).toEqual(sorted);
});
