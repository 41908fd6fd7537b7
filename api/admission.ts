import { abortable } from "../common/abortable.ts";
import { ApiError } from "./errors.ts";

/** The right of one generation or search to run. A ticket waits in the queue until its turn comes. */
export interface Ticket {
  /** Resolves when the ticket may run. @throws the signal's reason if it is aborted; this also gives the ticket up */
  turn(signal?: AbortSignal): Promise<void>;
  /** Gives up the ticket, whether it is running or waiting. */
  leave(): void;
}

/** A ticket in the queue. */
interface Waiting {
  /** The request that the ticket belongs to. */
  readonly request: symbol;
  readonly admit: () => void;
}

/**
 * Limits how many tickets run at once (`most`) and how many requests wait (`queue`), and refuses the rest. Clients take
 * turns; the tickets of one client run in the order in which they were requested.
 */
export class Admission {
  readonly #most: number;
  readonly #queue: number;
  /** Waiting tickets by client. The first client is served next. */
  readonly #waiting = new Map<string, Set<Waiting>>();
  #running = 0;
  /** Moving average of the time for which a ticket runs, in seconds. */
  #held = 1;

  constructor(most: number, queue: number) {
    this.#most = most;
    this.#queue = queue;
  }

  get running(): number {
    return this.#running;
  }

  /** The number of tickets in the queue. */
  get waiting(): number {
    return this.#queued().length;
  }

  #queued(): Waiting[] {
    return [...this.#waiting.values()].flatMap((queue) => [...queue]);
  }

  /**
   * Takes `count` tickets for one request of a client. In the queue a request counts once, whatever its number of tickets.
   * Otherwise a busy server would refuse requests for many tickets and accept those for one.
   * @throws ApiError `resource_error` with `Retry-After` if some tickets must wait and the queue is full
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

  /** Estimated time until the queue has room, in whole seconds, 1 to 60. */
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
    this.#waiting.set(client, queue); // this client is now the last to be served
    this.#forget(client, next!);
    next!.admit();
  }

  #forget(client: string, waiting: Waiting): void {
    const queue = this.#waiting.get(client);
    queue?.delete(waiting);
    if (queue?.size === 0) this.#waiting.delete(client);
  }
}
