import { expect, it } from "vitest";
import { type Prompt, PromptQueue } from "./prompt-queue.ts";

interface Named extends Prompt {
  readonly name: string;
  left: number;
}

const prompt = (name: string, client: unknown, left: number): Named => ({ name, options: { client }, left });

/** Feeds prompts in parts of 10, and tells whose they were. */
function fed(queue: PromptQueue<Named>): string {
  let order = "";
  for (let next = queue.next(); next; next = queue.next()) {
    order += next.name;
    next.left -= 10;
    queue.turn();
    if (next.left <= 0) queue.delete(next);
  }
  return order;
}

it("gives clients turns, however many prompts one of them has", () => {
  const queue = new PromptQueue<Named>();
  for (const name of "abcd") queue.add(prompt(name, 1, 10));
  for (const name of "xy") queue.add(prompt(name, 2, 10));
  expect([...queue].map(({ name }) => name).join("")).toBe("abcdxy");
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
  expect([...queue.of(1)]).toEqual([b]);
  expect([...queue.of(2)]).toEqual([]);
  queue.delete(b);
  expect(queue.next()).toBeUndefined();
});
