import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { Agent } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { type Random, seeded } from "../../bench/random.ts";
import { errorOf } from "./checks.ts";
import { type Ask, type Leaving, type Reply, send } from "./http.ts";
import type { Ledger, Outcome } from "./ledger.ts";

/** Milliseconds for which a request is repeated while the server is busy. */
const PATIENCE = 180_000;

/** One of many clients, with its own key and seed. */
export class Client {
  readonly name: string;
  readonly random: Random;
  /** The headers of a client with another key. */
  readonly stranger: Readonly<Record<string, string>>;
  readonly #url: string;
  readonly #agent: Agent;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #ledger: Ledger;

  constructor(url: string, keys: readonly string[], ledger: Ledger, seed: number, index: number) {
    this.name = `client-${index}`;
    this.random = seeded(seed * 10_007 + index);
    this.#url = url;
    this.#ledger = ledger;
    // Every second client keeps its connection between requests. (Node's agent closes an idle connection one second before
    // the server's announced time-out, so that the two do not race; a request is not repeated on a broken connection.)
    this.#agent = new Agent({ keepAlive: index % 2 === 0 });
    this.#headers = { Authorization: `Bearer ${keys[index % keys.length]}` };
    this.stranger = { Authorization: `Bearer ${keys[(index + 1) % keys.length]}` };
  }

  /**
   * Sends `ask` until the server is not too busy, and records in the ledger how each of these requests ended.
   * @param check throws an Error if the answer is wrong
   * @returns the answer; undefined if there is none or it is wrong
   */
  async ask(
    kind: string,
    ask: Ask,
    check: (reply: Reply) => void,
    leave?: Leaving,
  ): Promise<Reply | undefined> {
    const begin = performance.now();
    for (;;) {
      const id = `${this.name}-${randomUUID()}`;
      const enter = (outcome: Outcome, fault?: unknown): void => this.#ledger.ended(kind, outcome, fault);
      this.#ledger.sent(kind);
      let reply: Reply | undefined;
      try {
        reply = await send(this.#url, ask, {
          agent: this.#agent,
          headers: { ...this.#headers, "X-Request-Id": id },
          leave,
        });
      } catch (error) {
        enter("lost", error);
        await sleep(1000); // if the server is gone, count one failure per second, not per microsecond
        return undefined;
      }
      if (!reply) {
        enter("cancelled");
        return undefined;
      }
      try {
        assert.equal(reply.headers["x-request-id"], id, "the answer to another request");
        if (reply.status === 503) {
          const seconds = secondsToWait(reply);
          if (performance.now() - begin > PATIENCE) {
            enter("lost", `refused as too much for ${PATIENCE / 1000} s`);
            return undefined;
          }
          enter("busy");
          await sleep(1000 * seconds);
          continue;
        }
        check(reply);
      } catch (error) {
        enter(
          "wrong",
          `${error}\n${JSON.stringify({ ...ask, answer: undefined }).slice(0, 400)}\n${String(reply.bytes).slice(0, 400)}`,
        );
        return undefined;
      }
      enter(reply.status < 400 ? "answered" : "refused");
      return reply;
    }
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** @throws Error unless a 503 is the correct one of a full queue */
function secondsToWait(reply: Reply): number {
  assert.equal(errorOf(reply), "resource_error");
  const seconds = Number(reply.headers["retry-after"]);
  assert(Number.isInteger(seconds) && seconds > 0, `Retry-After: ${reply.headers["retry-after"]}`);
  return seconds;
}
