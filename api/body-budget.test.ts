import { EventEmitter } from "node:events";
import type { ServerResponse } from "node:http";
import { describe, expect, it } from "vitest";
import { BodyBudget } from "./body-budget.ts";

const MB = 2 ** 20;

/** Opens accounts in a budget, each with its own answer, which `close` ends. */
function start(most: number) {
  const budget = new BodyBudget(most);
  const open = (client: string) => {
    const outgoing = new EventEmitter();
    const account = budget.account(client, outgoing as unknown as ServerResponse);
    return { account, close: () => outgoing.emit("close") };
  };
  return { budget, open };
}

describe("memory for bodies", () => {
  it("is taken from the first byte until the answer, and refused when it is taken", () => {
    const { budget, open } = start(64 * MB);
    const held: ReturnType<typeof open>[] = [];
    expect(() => {
      for (;;) {
        held.push(open("rude"));
        held.at(-1)!.account.require(4 * MB);
      }
    }).toThrowError(
      expect.objectContaining({ kind: "resource_error", headers: { "Retry-After": expect.anything() } }),
    );
    expect(budget.taken).toBe((held.length - 1) * 4 * MB);
    expect(budget.taken).toBeLessThan(64 * MB);
    open("rude").account.require(4096); // small ones are not counted
    open("polite").account.require(2 * MB); // another client has room
    for (const { close } of held) close();
    expect(budget.taken).toBe(2 * MB);
    held[0]!.close();
    expect(budget.taken).toBe(2 * MB);
  });

  it("grows with a body whose length is not announced, and counts no byte twice", () => {
    const { budget, open } = start(10 * MB);
    const { account, close } = open("me");
    for (const bytes of [1000, MB, MB, 3 * MB, 2 * MB]) account.require(bytes);
    expect(budget.taken).toBe(3 * MB);
    expect(() => account.require(11 * MB)).toThrow("too many large bodies");
    close();
    account.require(MB); // too late: its client has left
    expect(budget.taken).toBe(0);
  });
});
