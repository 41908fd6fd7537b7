/** A window that scores higher than all it overlaps. */
export interface Peak {
  /** Its first token. */
  readonly position: number;
  /** Its tokens. */
  readonly length: number;
  readonly similarity: number;
}

/** Best first; the earlier of equals. */
export const byRank = (a: Peak, b: Peak): number => b.similarity - a.similarity || a.position - b.position;

/** How many of their lengths ever better windows are followed back. */
export const CHAIN_LENGTHS = 3;

/**
 * The best of a sequence of windows, told in order: of those that overlap the best stays, the first of equals, and then the
 * best of those that do not overlap it, and so on (greedy non-maximum suppression). Windows better than all before them,
 * each overlapping the last, are kept until one comes that does not overlap: only then is it known which of them stay.
 * Of a chain longer than {@link CHAIN_LENGTHS} windows the start is forgotten.
 */
export class Peaks {
  readonly #capacity: number;
  readonly #best: Peak[] = [];
  /** Each better than the one before, and overlapping it. */
  #chain: Peak[] = [];

  /** @param capacity the most peaks kept */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Most numbers that it keeps, of windows no longer than `length`. */
  numbers(length: number): number {
    return 3 * (this.#capacity + 1 + CHAIN_LENGTHS * length + 1);
  }

  /** Windows it keeps now. */
  get size(): number {
    return this.#best.length + this.#chain.length;
  }

  /** Those that no later window can better, best first. */
  get best(): readonly Peak[] {
    return this.#best;
  }

  add(position: number, length: number, similarity: number): void {
    const last = this.#chain.at(-1);
    if (last && position < last.position + last.length) {
      if (similarity <= last.similarity) return;
      const first = position - CHAIN_LENGTHS * Math.max(length, last.length);
      while (this.#chain[0]!.position < first) this.#chain.shift();
    } else {
      this.#keep();
    }
    this.#chain.push({ position, length, similarity });
  }

  /** No window follows. */
  finish(): void {
    this.#keep();
  }

  #keep(): void {
    let start = Number.POSITIVE_INFINITY;
    for (const peak of this.#chain.reverse()) {
      if (peak.position + peak.length > start) continue;
      start = peak.position;
      this.#insert(peak);
    }
    this.#chain = [];
  }

  #insert(peak: Peak): void {
    const at = this.#best.findIndex((other) => byRank(peak, other) < 0);
    this.#best.splice(at < 0 ? this.#best.length : at, 0, peak);
    if (this.#best.length > this.#capacity) this.#best.pop();
  }
}
