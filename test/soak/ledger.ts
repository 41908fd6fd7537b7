/** How a request ended; `busy` is a 503 with `Retry-After`, after which the request is repeated. */
export const OUTCOMES = ["answered", "refused", "busy", "cancelled", "lost", "wrong"] as const;
export type Outcome = (typeof OUTCOMES)[number];
export type Counts = Record<"sent" | Outcome, number>;

/** Maximum number of faults that are kept in full. */
const MOST_FAULTS = 20;

/** Records how every request ended. */
export class Ledger {
  readonly kinds = new Map<string, Counts>();
  /** The first requests that were lost or wrong. */
  readonly faults: string[] = [];

  sent(kind: string): void {
    this.#of(kind).sent++;
  }

  ended(kind: string, outcome: Outcome, fault?: unknown): void {
    this.#of(kind)[outcome]++;
    if (fault !== undefined && this.faults.length < MOST_FAULTS) {
      this.faults.push(`${kind}, ${outcome}: ${fault}`);
    }
  }

  get total(): Counts {
    const total = none();
    for (const counts of this.kinds.values()) {
      for (const name of Object.keys(total) as (keyof Counts)[]) total[name] += counts[name];
    }
    return total;
  }

  #of(kind: string): Counts {
    const counts = this.kinds.get(kind) ?? none();
    this.kinds.set(kind, counts);
    return counts;
  }
}

const none = (): Counts => ({
  sent: 0,
  answered: 0,
  refused: 0,
  busy: 0,
  cancelled: 0,
  lost: 0,
  wrong: 0,
});
