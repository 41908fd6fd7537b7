import { abortable } from "../common/abortable.ts";
import { ApiError } from "./errors.ts";

/** The right of one generation or search to run: it waits in the queue first, then it runs. */
export interface Ticket {
  /** Resolves when it may run. @throws the signal's reason; the ticket is then given up */
  turn(signal?: AbortSignal): Promise<void>;
  /** Gives the ticket up, whether it runs or waits. */
  leave(): void;
}

/** A ticket in the queue. */
interface Waiting {
  /** The request that it belongs to. */
  readonly request: symbol;
  readonly admit: () => void;
}

/**
 * Who runs, at most `most` at once, and which requests wait, at most `queue`; the rest are refused. Clients take turns, and
 * each of them is served in the order it came.
 */
export class Admission {
  readonly #most: number;
  readonly #queue: number;
  /** By client; the first is served next. */
  readonly #waiting = new Map<string, Set<Waiting>>();
  #running = 0;
  /** Seconds that a running ticket was held, averaged. */
  #held = 1;

  constructor(most: number, queue: number) {
    this.#most = most;
    this.#queue = queue;
  }

  get running(): number {
    return this.#running;
  }

  /** Tickets in the queue. */
  get waiting(): number {
    return this.#queued().length;
  }

  #queued(): Waiting[] {
    return [...this.#waiting.values()].flatMap((queue) => [...queue]);
  }

  /**
   * Takes `count` tickets for a client's request. In the queue it counts as one, however many it takes: if it had to find
   * room for all, a busy server would always prefer those that take one.
   * @throws ApiError `resource_error` with `Retry-After` where some would have to wait, and the queue is full
   */
  admit(client: string, count = 1): Ticket[] {
    const requests = new Set(this.#queued().map((each) => each.request)).size;
    if (count > this.#most - this.#running && requests >= this.#queue) {
      throw new ApiError("resource_error", "too many requests are waiting", {
        headers: { "Retry-After": String(this.#retryAfter()) },
      });
    }
    const request = Symbol(client);
    return Array.from({ length: count }, () => this.#ticket(client, request));
  }

  /** When the queue will have moved on, in whole seconds. */
  #retryAfter(): number {
    const seconds = (this.#held * (this.waiting + 1)) / this.#most;
    return Math.min(60, Math.max(1, Math.ceil(seconds)));
  }

  #ticket(client: string, request: symbol): Ticket {
    let since: number | undefined;
    let left = false;
    let resolve = (): void => {};
    const admitted = new Promise<void>((resolved) => {
      resolve = resolved;
    });
    const waiting: Waiting = {
      request,
      admit: () => {
        this.#running++;
        since = performance.now();
        resolve();
      },
    };
    const leave = (): void => {
      if (left) return;
      left = true;
      if (since === undefined) {
        this.#forget(client, waiting);
        return;
      }
      this.#held += 0.1 * ((performance.now() - since) / 1000 - this.#held);
      this.#running--;
      this.#next();
    };
    if (this.#running < this.#most) waiting.admit();
    else this.#waiting.set(client, (this.#waiting.get(client) ?? new Set()).add(waiting));
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
    const [next] = queue;
    this.#waiting.delete(client);
    this.#waiting.set(client, queue); // now the last in turn
    this.#forget(client, next!);
    next!.admit();
  }

  #forget(client: string, waiting: Waiting): void {
    const queue = this.#waiting.get(client);
    queue?.delete(waiting);
    if (queue?.size === 0) this.#waiting.delete(client);
  }
}
