import { expect, it } from "vitest";
import { below, seeded } from "../../bench/random.ts";
import { type Prompt, PromptQueue } from "./prompt-queue.ts";

interface Named extends Prompt {
  readonly name: string;
  left: number;
}

const prompt = (name: string, client: unknown, left: number): Named => ({ name, client, left });

/** Feeds prompts in parts of 10, and tells whose they were. */
function fed(queue: PromptQueue<Named>): string {
  let order = "";
  for (let next = queue.next(); next; next = queue.next()) {
    order += next.name;
    next.left -= 10;
    queue.changed(next);
    queue.rotate();
    if (next.left <= 0) queue.delete(next);
  }
  return order;
}

it("gives clients turns, however many prompts one of them has", () => {
  const queue = new PromptQueue<Named>();
  for (const name of "abcd") queue.add(prompt(name, 1, 10));
  for (const name of "xy") queue.add(prompt(name, 2, 10));
  expect(queue.waiting).toBe(true);
  expect(fed(queue)).toBe("axbycd");
  expect(queue.waiting).toBe(false);
});

it("lets a client's short prompt pass its long one, which goes on all the same", () => {
  const queue = new PromptQueue<Named>();
  queue.add(prompt("L", "me", 60));
  queue.add(prompt("s", "me", 20));
  queue.add(prompt("t", "me", 10));
  expect(fed(queue)).toBe("LtLsLsLLL");
});

it("feeds prompts of one length in the order they came", () => {
  const queue = new PromptQueue<Named>();
  for (const name of "abc") queue.add(prompt(name, undefined, 10));
  expect(fed(queue)).toBe("abc");
});

it("forgets a prompt that leaves, and only that", () => {
  const queue = new PromptQueue<Named>();
  const [a, b] = [prompt("a", 1, 10), prompt("b", 1, 10)];
  queue.add(a);
  queue.add(b);
  queue.delete(a);
  queue.delete(a);
  expect(queue.next()).toBe(b);
  queue.delete(b);
  expect(queue.next()).toBeUndefined();
});

it("finds a client's prompt by its key while it waits", () => {
  const queue = new PromptQueue<Named>();
  const keyed: Named = { ...prompt("a", 1, 10), key: "same" };
  queue.add(prompt("b", 1, 10));
  queue.add(keyed);
  expect(queue.find(1, "same")).toBe(keyed);
  expect([queue.find(1, "other"), queue.find(2, "same")]).toEqual([undefined, undefined]);
  queue.delete(keyed);
  expect(queue.find(1, "same")).toBeUndefined();
});

/** What a scan of all prompts would choose. */
class ScannedQueue {
  readonly clients = new Map<unknown, { prompts: Set<Named>; turns: number }>();

  add(prompt: Named): void {
    const queue = this.clients.get(prompt.client);
    if (queue) queue.prompts.add(prompt);
    else this.clients.set(prompt.client, { prompts: new Set([prompt]), turns: 0 });
  }

  delete(prompt: Named): void {
    const queue = this.clients.get(prompt.client);
    queue?.prompts.delete(prompt);
    if (queue?.prompts.size === 0) this.clients.delete(prompt.client);
  }

  next(): Named | undefined {
    const [first] = this.clients.values();
    if (!first) return undefined;
    const [oldest, ...younger] = first.prompts;
    if (first.turns % 2 === 0) return oldest;
    return younger.reduce((least, prompt) => (prompt.left < least!.left ? prompt : least), oldest);
  }

  rotate(): void {
    const [first] = this.clients;
    if (!first) return;
    const [client, queue] = first;
    this.clients.delete(client);
    this.clients.set(client, { ...queue, turns: queue.turns + 1 });
  }
}

it("chooses what a scan of all that waits would choose, whatever comes, is fed and leaves", () => {
  const random = seeded(5);
  const [queue, scanned] = [new PromptQueue<Named>(), new ScannedQueue()];
  const waiting: Named[] = [];
  let chosen = 0;
  for (let i = 0; i < 5000; i++) {
    if (random() < 0.45) {
      const coming = prompt(`${i}`, below(random, 7), 1 + below(random, 40));
      waiting.push(coming);
      queue.add(coming);
      scanned.add(coming);
    } else if (random() < 0.2 && waiting.length > 0) {
      const [leaving] = waiting.splice(below(random, waiting.length), 1);
      queue.delete(leaving!);
      scanned.delete(leaving!);
    }
    const next = queue.next();
    expect(next).toBe(scanned.next());
    if (!next) continue;
    chosen++;
    next.left -= 1 + below(random, 10);
    queue.changed(next);
    queue.rotate();
    scanned.rotate();
    if (next.left > 0) continue;
    waiting.splice(waiting.indexOf(next), 1);
    queue.delete(next);
    scanned.delete(next);
  }
  expect(chosen).toBeGreaterThan(3000);
});

it("looks at a few prompts only, however many wait", () => {
  const queue = new PromptQueue<Prompt>();
  let looks = 0;
  const count = 20_000;
  const prompts = Array.from({ length: count }, (_, i) => {
    let left = 1 + ((i * 7919) % 1000);
    return {
      client: i % 10,
      get left(): number {
        looks++;
        return left;
      },
      feed: (): void => {
        left = Math.max(1, left - 64);
      },
    };
  });
  for (const each of prompts) queue.add(each);
  const most = 12 * Math.ceil(Math.log2(count)); // comparisons of two lengths, twice each, along a heap's height
  let worst = 0;
  for (let turn = 0; turn < 1000; turn++) {
    looks = 0;
    const next = queue.next() as (typeof prompts)[number];
    next.feed();
    queue.changed(next);
    queue.rotate();
    if (turn % 3 === 0) queue.delete(next);
    worst = Math.max(worst, looks);
  }
  expect(worst).toBeGreaterThan(0);
  expect(worst).toBeLessThanOrEqual(most);
});
