import { abortable } from "../engine/abortable.ts";
import { ApiError } from "./errors.ts";

/** A request's place: first in the queue, then among those that run. */
export interface Place {
  /** Resolves when it may run. @throws the signal's reason; the place is then given up */
  turn(signal?: AbortSignal): Promise<void>;
  /** Gives the place up, running or waiting. */
  leave(): void;
}

/** Who runs, at most `most` at once, and who waits, first come first served; whoever finds the queue full is refused. */
export class Admission {
  readonly #most: number;
  readonly #queue: number;
  readonly #waiting = new Set<() => void>();
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
    return this.#waiting.size;
  }

  /** Takes `count` places, or none. @throws ApiError `resource_error` with `Retry-After` where the queue is too full */
  admit(count = 1): Place[] {
    const free = this.#most - this.#running + this.#queue - this.#waiting.size;
    if (count > free) {
      throw new ApiError("resource_error", "too many requests are waiting", {
        headers: { "Retry-After": String(this.#retryAfter()) },
      });
    }
    return Array.from({ length: count }, () => this.#place());
  }

  /** When the queue will have moved on, in whole seconds. */
  #retryAfter(): number {
    const seconds = (this.#held * (this.#waiting.size + 1)) / this.#most;
    return Math.min(60, Math.max(1, Math.ceil(seconds)));
  }

  #place(): Place {
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
        this.#waiting.delete(admit);
        return;
      }
      this.#held += 0.1 * ((performance.now() - since) / 1000 - this.#held);
      this.#running--;
      this.#next();
    };
    if (this.#running < this.#most) admit();
    else this.#waiting.add(admit);
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
    const [admit] = this.#waiting;
    if (!admit || this.#running >= this.#most) return;
    this.#waiting.delete(admit);
    admit();
  }
}
