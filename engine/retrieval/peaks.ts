/** A window that scores higher than all windows that it overlaps. */
export interface Peak {
  /** The index of its first token. */
  readonly position: number;
  /** The number of its tokens. */
  readonly length: number;
  readonly similarity: number;
}

/** Compares peaks: best first, and of equal ones the earlier first. */
export const byRank = (a: Peak, b: Peak): number => b.similarity - a.similarity || a.position - b.position;

/** The maximum length of a chain of ever better windows, in windows. */
export const CHAIN_LENGTHS = 3;

/**
 * Finds the best of a sequence of windows by greedy non-maximum suppression: the best window (of equal ones the first), then
 * the best that does not overlap it, and so on. The windows are pushed in order. A chain of windows, each better than the
 * previous and overlapping it, is kept until a window does not overlap: only then is it known which of them remain. The
 * start of a chain longer than {@link CHAIN_LENGTHS} windows is dropped.
 */
export class Peaks {
  readonly #capacity: number;
  readonly #best: Peak[] = [];
  /** Windows that are each better than the previous one and overlap it. */
  #chain: Peak[] = [];

  /** @param capacity the maximum number of peaks kept */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Returns the maximum count of numbers kept, for windows of at most `length` tokens. */
  numbers(length: number): number {
    return 3 * (this.#capacity + 1 + CHAIN_LENGTHS * length + 1);
  }

  /** The number of windows kept now. */
  get size(): number {
    return this.#best.length + this.#chain.length;
  }

  /** The peaks that no later window can displace, best first. */
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

  /** Ends the sequence of windows. */
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
