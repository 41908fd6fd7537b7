interface Node<T> {
  readonly item: T;
  before: Node<T> | undefined;
  after: Node<T> | undefined;
}

/**
 * Items in the order in which they were added, each at most once. Every method takes constant time. (The first item of a
 * `Set` does not: it is found by passing over those deleted before it.)
 */
export class Ring<T> {
  readonly #nodes = new Map<T, Node<T>>();
  #first: Node<T> | undefined;
  #last: Node<T> | undefined;

  get size(): number {
    return this.#nodes.size;
  }

  get first(): T | undefined {
    return this.#first?.item;
  }

  /** Adds an item as the last one. One that is there already stays where it is. */
  add(item: T): void {
    if (this.#nodes.has(item)) return;
    const node: Node<T> = { item, before: this.#last, after: undefined };
    this.#nodes.set(item, node);
    if (this.#last) this.#last.after = node;
    else this.#first = node;
    this.#last = node;
  }

  delete(item: T): void {
    const node = this.#nodes.get(item);
    if (!node) return;
    this.#nodes.delete(item);
    const { before, after } = node;
    if (before) before.after = after;
    else this.#first = after;
    if (after) after.before = before;
    else this.#last = before;
  }
}
