/** How many times what it leaves free a client may hold. */
const GENEROSITY = 8;

/**
 * Shares a limited amount among clients, so that none can take all of it: a client may hold at most eight times what it
 * leaves free, that is 8/9 of everything if it is alone (dynamic thresholds, Choudhury and Hahne 1998). Who asks for much at
 * once is refused before who asks for little. Every method takes constant time.
 */
export class Shares {
  readonly most: number;
  readonly #always: number;
  readonly #held = new Map<string, number>();
  #total = 0;

  /** @param always what a client may hold in any case, as long as it is free */
  constructor(most: number, always = 0) {
    this.most = most;
    this.#always = always;
  }

  /** What all clients hold. */
  get total(): number {
    return this.#total;
  }

  /** Whether a client holds anything. */
  holds(client: string): boolean {
    return this.#held.has(client);
  }

  /** Whether a client may take this amount too. */
  fits(client: string, amount: number): boolean {
    const held = this.#held.get(client) ?? 0;
    const free = this.most - this.#total - amount;
    return free >= 0 && (held + amount <= this.#always || held <= GENEROSITY * free);
  }

  take(client: string, amount: number): void {
    this.#total += amount;
    this.#held.set(client, (this.#held.get(client) ?? 0) + amount);
  }

  give(client: string, amount: number): void {
    this.#total -= amount;
    const held = (this.#held.get(client) ?? 0) - amount;
    if (held > 0) this.#held.set(client, held);
    else this.#held.delete(client);
  }
}
