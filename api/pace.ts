/** Seconds over which the rate of a reader is measured. */
export const PACE_WINDOW = 60;

export interface PaceLimits {
  /** Seconds in which a reader must take something. */
  readonly idle: number;
  /** Bytes a second that a reader must take over {@link PACE_WINDOW}. */
  readonly rate: number;
}

/** What is seen of a reader at one moment. */
export interface Sight {
  /** In seconds. */
  readonly now: number;
  /** Bytes taken so far. */
  readonly taken: number;
  /** Whether the reader had taken all that there was at some moment since the last sight. */
  readonly caughtUp: boolean;
}

/** Tells how a reader takes what waits for it. As long as it waits itself, it is neither idle nor slow. */
export class Pace {
  readonly #limits: PaceLimits;
  /** When it last took something, or had nothing to take. */
  #lastTaken: Pick<Sight, "now" | "taken">;
  /** Where the window begins in which it has not caught up. */
  #window: Pick<Sight, "now" | "taken">;

  constructor(limits: PaceLimits, now: number) {
    this.#limits = limits;
    this.#lastTaken = { now, taken: 0 };
    this.#window = { now, taken: 0 };
  }

  /** Takes note of a sight. @returns what is wrong with the reader */
  see({ now, taken, caughtUp }: Sight): "idle" | "slow" | undefined {
    if (caughtUp || taken > this.#lastTaken.taken) this.#lastTaken = { now, taken };
    if (caughtUp) this.#window = { now, taken };
    if (now - this.#lastTaken.now >= this.#limits.idle) return "idle";
    const seconds = now - this.#window.now;
    if (seconds < PACE_WINDOW) return undefined;
    const rate = (taken - this.#window.taken) / seconds;
    this.#window = { now, taken };
    return rate < this.#limits.rate ? "slow" : undefined;
  }
}
