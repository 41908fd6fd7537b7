/**
 * A binary heap that knows where each of its items lies, so that any of them can leave, or change its rank, in
 * logarithmic time.
 */
export class IndexedHeap<T> {
  readonly #before: (a: T, b: T) => boolean;
  readonly #items: T[] = [];
  readonly #places = new Map<T, number>();

  /** @param before whether `a` comes before `b`: a strict order of all items */
  constructor(before: (a: T, b: T) => boolean) {
    this.#before = before;
  }

  get size(): number {
    return this.#items.length;
  }

  /** The item that comes before all others. */
  get first(): T | undefined {
    return this.#items[0];
  }

  has(item: T): boolean {
    return this.#places.has(item);
  }

  add(item: T): void {
    if (this.#places.has(item)) return;
    this.#items.push(item);
    this.#rise(item, this.#items.length - 1);
  }

  delete(item: T): void {
    const place = this.#places.get(item);
    if (place === undefined) return;
    this.#places.delete(item);
    const last = this.#items.pop()!;
    if (last !== item) this.#settle(last, place);
  }

  /** Puts an item in its place again after its rank has changed. No other item's may have changed meanwhile. */
  update(item: T): void {
    const place = this.#places.get(item);
    if (place !== undefined) this.#settle(item, place);
  }

  #settle(item: T, place: number): void {
    this.#sink(item, this.#rise(item, place));
  }

  #rise(item: T, from: number): number {
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!this.#before(item, this.#items[parent]!)) break;
      this.#put(this.#items[parent]!, place);
      place = parent;
    }
    this.#put(item, place);
    return place;
  }

  #sink(item: T, from: number): void {
    let place = from;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= this.#items.length) break;
      const [left, right] = [this.#items[child]!, this.#items[child + 1]];
      if (right !== undefined && this.#before(right, left)) child++;
      if (!this.#before(this.#items[child]!, item)) break;
      this.#put(this.#items[child]!, place);
      place = child;
    }
    this.#put(item, place);
  }

  #put(item: T, place: number): void {
    this.#items[place] = item;
    this.#places.set(item, place);
  }
}
