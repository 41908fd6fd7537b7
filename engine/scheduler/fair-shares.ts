import { IndexedHeap } from "./indexed-heap.ts";

/** Whose an item is. */
export interface Owned {
  readonly client?: unknown;
  readonly request?: unknown;
}

/** What an item does: it is computed, it waits for that, or it wants nothing now. */
export type Doing = "computed" | "waits" | "rests";

/** A client, one of its requests, or an item of that one. */
class Share<T> {
  readonly parent: Share<T> | undefined;
  readonly key: unknown;
  readonly item: T | undefined;
  /** Tokens computed for it in {@link epoch}. */
  used = 0;
  epoch = 0;
  /** Of these, tokens of an item that it was picked for and that are not computed yet. */
  advance = 0;
  /** Whether an item of it was ever picked. */
  picked = false;
  readonly arrival: number;
  readonly children = new Map<unknown, Share<T>>();
  /** Children with items that wait, those first that have used least. */
  readonly waiting = new IndexedHeap<Share<T>>(usedLess);
  /** Of these, the children of whose items none was picked yet, in the order they came. */
  readonly newcomers = new Set<Share<T>>();
  /** Children with items that are computed or wait. */
  readonly active = new IndexedHeap<Share<T>>(usedLess);
  /** Items that wait, and items that wait or are computed. */
  waits = 0;
  acts = 0;
  /** Items that have a slot. */
  held = 0;
  /** Whether the last pick was a newcomer. */
  favoured = false;

  constructor(parent: Share<T> | undefined, key: unknown, item: T | undefined, arrival: number) {
    this.parent = parent;
    this.key = key;
    this.item = item;
    this.arrival = arrival;
  }
}

interface Ranked {
  readonly used: number;
  readonly arrival: number;
}

function usedLess(a: Ranked, b: Ranked): boolean {
  return a.used < b.used || (a.used === b.used && a.arrival < b.arrival);
}

/**
 * Shares out tokens over clients, then over a client's requests, then over a request's items: what is picked next is of whoever
 * has used least, counted in tokens (virtual token counters, Sheng et al. 2024; hierarchically as in Bennett and Zhang 1996). Who
 * comes, or wants nothing for a while, starts at what the least served of the others has used: it gets no credit for
 * its absence. A client that leaves keeps what it has used as long as others have used less. Every second pick is of a newcomer, if
 * there is one, so that first tokens come soon, however many wait. Each operation takes time logarithmic in the number of items.
 */
export class FairShares<T extends object> {
  readonly #ownerOf: (item: T) => Owned;
  /** The most items of a client that may have a slot. */
  readonly #cap: (client: unknown) => number;
  readonly #leaves = new Map<T, Share<T>>();
  readonly #doing = new Map<T, Doing>();
  #arrivals = 0;
  readonly #root = this.#share(undefined, undefined);
  #epoch = 0;
  /** Clients without items that have used more than others. */
  readonly #departed = new IndexedHeap<Share<T>>(usedLess);

  constructor(
    ownerOf: (item: T) => Owned,
    cap: (client: unknown) => number = () => Number.POSITIVE_INFINITY,
  ) {
    this.#ownerOf = ownerOf;
    this.#cap = cap;
  }

  /** Items that wait. */
  get waiting(): number {
    return this.#root.waits;
  }

  /** Clients that wait and have had nothing yet. */
  get newcomers(): number {
    return this.#root.newcomers.size;
  }

  /** Clients that have items, or used more than others before they left. */
  get clients(): number {
    return this.#root.children.size;
  }

  /** Tokens that a client has used; 0 as long as nobody has to wait. */
  used(client: unknown): number {
    const share = this.#root.children.get(client);
    return share?.epoch === this.#epoch ? share.used : 0;
  }

  /** Takes note of what an item does now; a new one is added. */
  set(item: T, doing: Doing): void {
    const leaf = this.#leaves.get(item) ?? this.#add(item);
    const before = this.#doing.get(item) ?? "rests";
    if (before === doing) return;
    this.#doing.set(item, doing);
    if (before === "computed") this.#refund(leaf);
    this.#count(leaf, Number(doing !== "rests") - Number(before !== "rests"), "acts");
    this.#count(leaf, Number(doing === "waits") - Number(before === "waits"), "waits");
  }

  /** Takes note of whether an item has a slot, which counts for its client's most. */
  hold(item: T, holds: boolean): void {
    const client = this.#leaves.get(item)?.parent?.parent;
    if (!client) return;
    client.held += holds ? 1 : -1;
    this.#rank(client, "waits");
  }

  /** Forgets an item. */
  delete(item: T): void {
    const leaf = this.#leaves.get(item);
    if (!leaf) return;
    this.set(item, "rests");
    this.#leaves.delete(item);
    this.#doing.delete(item);
    const request = leaf.parent!;
    const client = request.parent!;
    request.children.delete(leaf.key);
    if (request.children.size > 0) return;
    client.children.delete(request.key);
    if (client.children.size > 0) return;
    this.#departed.add(client);
    this.#forgive();
  }

  /**
   * The item whose turn it is; it is computed from now on.
   * @param advance tokens that count as used at once, so that others are picked next; what of them is not computed is given back
   */
  pick(advance = 0): T | undefined {
    let at = this.#root;
    while (at.item === undefined) {
      const newcomer = at.favoured ? undefined : at.newcomers.values().next().value;
      at.favoured = newcomer !== undefined;
      const next = newcomer ?? at.waiting.first;
      if (!next) return undefined;
      at = next;
    }
    this.take(at.item);
    at.advance = advance;
    this.#charge(at, advance);
    return at.item;
  }

  /** An item that waits is computed from now on, whoever's turn it is. */
  take(item: T): void {
    this.set(item, "computed");
    for (let at = this.#leaves.get(item); at?.parent; at = at.parent) {
      at.picked = true;
      at.parent.newcomers.delete(at);
    }
  }

  /** Adds tokens that were computed for an item. */
  charge(item: T, tokens: number): void {
    const leaf = this.#leaves.get(item);
    if (!leaf) return;
    const paid = Math.min(leaf.advance, tokens);
    leaf.advance -= paid;
    if (tokens > paid) this.#charge(leaf, tokens - paid);
  }

  /** Adds tokens that were computed for a client, but for none of its items. */
  chargeClient(client: unknown, tokens: number): void {
    const share = this.#root.children.get(client);
    if (share) this.#charge(share, tokens);
  }

  /** Nobody has to wait any more: what was used is forgotten. Takes time for the items that are computed. */
  reset(): void {
    this.#epoch++;
    for (let first = this.#departed.first; first; first = this.#departed.first) this.#forget(first);
    this.#clear(this.#root);
  }

  #clear(share: Share<T>): void {
    const active: Share<T>[] = [];
    for (let first = share.active.first; first; first = share.active.first) {
      share.active.delete(first);
      active.push(first);
    }
    for (const child of active) {
      child.used = 0;
      child.advance = 0;
      child.epoch = this.#epoch;
      share.active.add(child);
      this.#clear(child);
    }
  }

  #forget(departed: Share<T>): void {
    this.#departed.delete(departed);
    this.#root.children.delete(departed.key);
  }

  #share(parent: Share<T> | undefined, key: unknown, item?: T): Share<T> {
    const share = new Share(parent, key, item, this.#arrivals++);
    parent?.children.set(key, share);
    return share;
  }

  #add(item: T): Share<T> {
    const { client, request } = this.#ownerOf(item);
    const own = this.#root.children.get(client) ?? this.#share(this.#root, client);
    this.#departed.delete(own);
    const asked = own.children.get(request) ?? this.#share(own, request);
    const leaf = this.#share(asked, item, item);
    this.#leaves.set(item, leaf);
    return leaf;
  }

  #charge(from: Share<T>, tokens: number): void {
    for (let at = from; at.parent; at = at.parent) {
      at.used += tokens;
      at.parent.active.update(at);
      at.parent.waiting.update(at);
    }
    this.#forgive();
  }

  #refund(leaf: Share<T>): void {
    const { advance } = leaf;
    leaf.advance = 0;
    if (advance > 0) this.#charge(leaf, -advance);
  }

  /** Counts an item in or out on its whole way up, and ranks the shares that thereby have some, or none. */
  #count(leaf: Share<T>, change: number, what: "waits" | "acts"): void {
    if (change === 0) return;
    for (let at: Share<T> | undefined = leaf; at; at = at.parent) {
      at[what] += change;
      this.#rank(at, what);
    }
  }

  #rank(share: Share<T>, what: "waits" | "acts"): void {
    const { parent } = share;
    if (!parent) return;
    if (what === "acts") {
      if (share.acts === 0) parent.active.delete(share);
      else if (!parent.active.has(share)) {
        const used = share.epoch === this.#epoch ? share.used : 0;
        share.used = Math.max(used, parent.active.first?.used ?? 0);
        share.epoch = this.#epoch;
        parent.active.add(share);
      }
      return;
    }
    const most = parent.parent === undefined ? this.#cap(share.key) : Number.POSITIVE_INFINITY;
    if (share.waits > 0 && share.held < most) {
      parent.waiting.add(share);
      if (!share.picked) parent.newcomers.add(share);
    } else {
      parent.waiting.delete(share);
      parent.newcomers.delete(share);
    }
  }

  /** Forgets the clients that have left and that have used no more than others by now. */
  #forgive(): void {
    const floor = this.#root.active.first?.used ?? Number.POSITIVE_INFINITY;
    for (;;) {
      const { first } = this.#departed;
      if (!first || first.used > floor) return;
      this.#forget(first);
    }
  }
}
