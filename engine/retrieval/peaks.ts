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

/**
 * The best of a sequence of windows, told in order. A window that overlaps a better one, or an equal one before it, is
 * merged with it; peaks do not overlap. (Non-maximum suppression; each window meets only the peak before it, so that a
 * chain of windows each better than the one before leaves its last.)
 */
export class Peaks {
  readonly #capacity: number;
  readonly #best: Peak[] = [];
  #last: Peak | undefined;

  /** @param capacity the most peaks kept */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Numbers it keeps now. */
  get numbers(): number {
    return 3 * (this.#best.length + 1);
  }

  add(position: number, length: number, similarity: number): void {
    const last = this.#last;
    if (last && position < last.position + last.length) {
      if (similarity <= last.similarity) return;
    } else {
      this.#keep();
    }
    this.#last = { position, length, similarity };
  }

  /** Those that no later window can better, best first. */
  get best(): readonly Peak[] {
    return this.#best;
  }

  /** No window follows. */
  finish(): void {
    this.#keep();
    this.#last = undefined;
  }

  #keep(): void {
    const last = this.#last;
    if (!last) return;
    const at = this.#best.findIndex((peak) => byRank(last, peak) < 0);
    this.#best.splice(at < 0 ? this.#best.length : at, 0, last);
    if (this.#best.length > this.#capacity) this.#best.pop();
  }
}
