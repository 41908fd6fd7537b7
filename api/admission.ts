import { abortable } from "../engine/abortable.ts";
import { ApiError } from "./errors.ts";

/** A request's place: first in the queue, then among those that run. */
export interface Place {
  /** Resolves when it may run. @throws the signal's reason; the place is then given up */
  turn(signal?: AbortSignal): Promise<void>;
  /** Gives the place up, running or waiting. */
  leave(): void;
}

/**
 * Who runs, at most `most` at once, and who waits; whoever finds the queue full is refused. Clients take turns, and each of
 * them is served in the order it came.
 */
export class Admission {
  readonly #most: number;
  readonly #queue: number;
  /** By client; the first is served next. */
  readonly #waiting = new Map<string, Set<() => void>>();
  #running = 0;
  /** Seconds that a place was held, averaged. */
  #held = 1;

  constructor(most: number, queue: number) {
    this.#most = most;
    this.#queue = queue;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    let waiting = 0;
    for (const queue of this.#waiting.values()) waiting += queue.size;
    return waiting;
  }

  /** Takes `count` places for a client, or none. @throws ApiError `resource_error` with `Retry-After` where the queue is too full */
  admit(client: string, count = 1): Place[] {
    const free = this.#most - this.#running + this.#queue - this.waiting;
    if (count > free) {
      throw new ApiError("resource_error", "too many requests are waiting", {
        headers: { "Retry-After": String(this.#retryAfter()) },
      });
    }
    return Array.from({ length: count }, () => this.#place(client));
  }

  /** When the queue will have moved on, in whole seconds. */
  #retryAfter(): number {
    const seconds = (this.#held * (this.waiting + 1)) / this.#most;
    return Math.min(60, Math.max(1, Math.ceil(seconds)));
  }

  #place(client: string): Place {
    let since: number | undefined;
    let left = false;
    let admit = (): void => {};
    const admitted = new Promise<void>((resolve) => {
      admit = () => {
        this.#running++;
        since = performance.now();
        resolve();
      };
    });
    const leave = (): void => {
      if (left) return;
      left = true;
      if (since === undefined) {
        this.#forget(client, admit);
        return;
      }
      this.#held += 0.1 * ((performance.now() - since) / 1000 - this.#held);
      this.#running--;
      this.#next();
    };
    if (this.#running < this.#most) admit();
    else this.#waiting.set(client, (this.#waiting.get(client) ?? new Set()).add(admit));
    return {
      leave,
      turn: async (signal) => {
        try {
          await abortable(admitted, signal);
        } catch (error) {
          leave();
          throw error;
        }
      },
    };
  }

  #next(): void {
    const [first] = this.#waiting;
    if (!first || this.#running >= this.#most) return;
    const [client, queue] = first;
    const [admit] = queue;
    this.#waiting.delete(client);
    this.#waiting.set(client, queue); // now the last in turn
    this.#forget(client, admit!);
    admit!();
  }

  #forget(client: string, admit: () => void): void {
    const queue = this.#waiting.get(client);
    queue?.delete(admit);
    if (queue?.size === 0) this.#waiting.delete(client);
  }
}
