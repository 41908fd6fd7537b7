import { CHUNK } from "../../kernels/memory-scan/memory-scan.ts";

/**
 * A key for each whole chunk of the scan in a prompt. A chunk that ends with the prompt's last token is left out, since
 * something has to be fed.
 */
export type Chunks = readonly string[];

/** Two UTF-16 units a token: equal strings, equal tokens. */
export function chunksOf(prompt: readonly number[]): Chunks {
  return Array.from({ length: Math.floor((prompt.length - 1) / CHUNK) }, (_, chunk) =>
    String.fromCharCode(
      ...prompt.slice(chunk * CHUNK, (chunk + 1) * CHUNK).flatMap((id) => [id & 0xffff, id >>> 16]),
    ),
  );
}

/** A chunk after the chunks before it. */
interface Node {
  readonly parent: Node | undefined;
  readonly key: unknown;
  readonly next: Map<unknown, Node>;
  /** Row of the state after it. */
  row: number | undefined;
}

/** How much of a prompt the cache knows. */
export interface PrefixMatch {
  /** Tokens of the longest prefix whose state is kept; 0: none is. */
  readonly kept: number;
  /** Row of that state. */
  readonly row: number | undefined;
  /** Tokens of the longest prefix that a prompt of the cache also has. */
  readonly shared: number;
}

/**
 * Decides which states after prompt prefixes are kept, and in which rows, so that a prompt with the same prefix need not be
 * fed from its start. The states are on the device. When all rows are taken, the least recently used one is replaced. Prefixes are whole chunks of the scan, where a prompt can be cut without a change in its bits. They are compared
 * token by token, in a tree for each client: nobody can tell from an answer's time what another client has asked.
 */
export class PrefixCache {
  /** Most states. */
  readonly rows: number;
  readonly #trees: Node = node(undefined, undefined);
  /** Those with a state, the one not used for longest first. */
  readonly #used = new Set<Node>();

  constructor(rows: number) {
    this.rows = rows;
  }

  /** States kept. */
  get size(): number {
    return this.#used.size;
  }

  /** How much is known of a client's prompt. A state that is found counts as used. */
  find(client: unknown, chunks: Chunks): PrefixMatch {
    let last = this.#trees.next.get(client);
    let found: Node | undefined;
    let [kept, shared] = [0, 0];
    for (const key of chunks) {
      last = last?.next.get(key);
      if (!last) break;
      shared += CHUNK;
      if (last.row !== undefined) [found, kept] = [last, shared];
    }
    if (found) this.#touch(found);
    return { kept, row: found?.row, shared };
  }

  /** A row for the state after the first `length` tokens, whole chunks; undefined where the state is kept already. */
  keep(client: unknown, chunks: Chunks, length: number): number | undefined {
    let last = this.#trees;
    for (const key of [client, ...chunks.slice(0, length / CHUNK)]) {
      const next = last.next.get(key) ?? node(last, key);
      last.next.set(key, next);
      last = next;
    }
    this.#touch(last);
    if (last.row !== undefined) return undefined;
    last.row = this.#used.size > this.rows ? this.#evict() : this.#used.size - 1;
    return last.row;
  }

  #touch(used: Node): void {
    this.#used.delete(used);
    this.#used.add(used);
  }

  /** The row of the state that was not used for longest. Chunks that led only there are forgotten. */
  #evict(): number {
    const oldest = this.#used.values().next().value!;
    const row = oldest.row!;
    oldest.row = undefined;
    this.#used.delete(oldest);
    for (let at = oldest; at.parent && at.next.size === 0 && !this.#used.has(at); at = at.parent) {
      at.parent.next.delete(at.key);
    }
    return row;
  }
}

const node = (parent: Node | undefined, key: unknown): Node => ({
  parent,
  key,
  next: new Map(),
  row: undefined,
});

/**
 * Where a prompt of `length` tokens should be cut so that its prefixes are kept: at its last chunk's start, and at distances
 * before that which double. A prompt that shares all but the last n tokens finds a state less than 2 n + {@link CHUNK}
 * tokens back.
 */
export function cutsOf(length: number): number[] {
  const last = Math.floor((length - 1) / CHUNK) * CHUNK;
  const cuts: number[] = [];
  for (let back = 0; back < last; back = 2 * back || CHUNK) cuts.unshift(last - back);
  return cuts;
}
