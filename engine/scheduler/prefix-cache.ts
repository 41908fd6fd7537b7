import type { StateShape } from "../../kernels/kernel.ts";
import { CHUNK } from "../../kernels/memory-scan/memory-scan.ts";
import type { Gpu } from "../device/gpu.ts";
import { MemoryCount } from "../device/memory.ts";
import { rowBytes, StatePool } from "../state/state-pool.ts";

/** A prompt's whole chunks of the scan, but for one that ends with its last token, since something has to be fed. Each is a key. */
export type Chunks = readonly string[];

/** Two units a token: equal strings, equal tokens. */
export function chunksOf(prompt: readonly number[]): Chunks {
  return Array.from({ length: Math.floor((prompt.length - 1) / CHUNK) }, (_, chunk) =>
    String.fromCharCode(
      ...prompt.slice(chunk * CHUNK, (chunk + 1) * CHUNK).flatMap((id) => [id & 0xffff, id >>> 16]),
    ),
  );
}

/** A chunk after those before it. */
interface Node {
  readonly parent: Node | undefined;
  readonly key: unknown;
  readonly next: Map<unknown, Node>;
  /** Where the state after it is kept. */
  row: number | undefined;
}

/** What is known of a prompt's beginning, in tokens. */
export interface Known {
  /** Of the longest beginning whose state is kept; 0: of none. */
  readonly kept: number;
  /** Where. */
  readonly row: number | undefined;
  /** Of the longest beginning that it shares with another prompt. */
  readonly shared: number;
}

/**
 * States after the beginnings of prompts, so that a prompt which begins alike need not be fed from its start. They lie on
 * the GPU in a bounded number of rows; the one that was not used for longest gives way. Beginnings are whole chunks of
 * the scan, where a prompt may be cut without a change in its bits, and are compared token by token, in a tree for each
 * client: nobody can tell from an answer's time what another client has asked.
 */
export class PrefixCache {
  readonly #gpu: Gpu;
  readonly #shape: StateShape;
  readonly #vocabulary: number;
  readonly #trees: Node = node(undefined, undefined);
  /** Those with a state, the one not used for longest first. */
  readonly #used = new Set<Node>();
  readonly #memory: MemoryCount;
  #pool: StatePool | undefined;
  /** Most states. */
  readonly rows: number;

  /** @param bytes of GPU memory, taken when the first state is kept, and counted as `prefixes` */
  constructor(
    gpu: Gpu,
    shape: StateShape,
    vocabulary: number,
    bytes: number,
    memory: MemoryCount = new MemoryCount(gpu),
  ) {
    this.#gpu = gpu;
    this.#memory = memory;
    this.#shape = shape;
    this.#vocabulary = vocabulary;
    const row = rowBytes(shape, vocabulary);
    const { maxBufferSize } = gpu.device.limits;
    const most = Math.floor(maxBufferSize / Math.max(row.state, row.counts));
    this.rows = Math.min(most, Math.floor(bytes / (row.state + row.counts + row.pending)));
  }

  /** States kept. */
  get size(): number {
    return this.#used.size;
  }

  /** Where the states lie. */
  get pool(): StatePool {
    this.reserve();
    return this.#pool!;
  }

  /** Takes the memory of all {@link rows} now. */
  reserve(): void {
    this.#pool ??= this.#memory.of(
      "prefixes",
      () => new StatePool(this.#gpu, this.#shape, this.#vocabulary, this.rows),
    );
  }

  /** What is known of a client's prompt. A state that is found counts as used. */
  find(client: unknown, chunks: Chunks): Known {
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

  /** A row for the state after the first `length` tokens, whole chunks; undefined where it is kept already. */
  keep(client: unknown, chunks: Chunks, length: number): number | undefined {
    let last = this.#trees;
    for (const key of [client, ...chunks.slice(0, length / CHUNK)]) {
      const next = last.next.get(key) ?? node(last, key);
      last.next.set(key, next);
      last = next;
    }
    this.#touch(last);
    if (last.row !== undefined) return undefined;
    last.row = this.#used.size > this.rows ? this.#evict() : this.pool.take();
    return last.row;
  }

  #touch(used: Node): void {
    this.#used.delete(used);
    this.#used.add(used);
  }

  /** The row of the state that was not used for longest; what led only there is forgotten. */
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
 * Where a prompt of `length` tokens should be cut so that its beginnings are kept: at its last chunk's start, and at distances
 * before it that double. Who shares all but the last n tokens finds a state less than 2 n + {@link CHUNK} tokens back.
 */
export function cutsOf(length: number): number[] {
  const last = Math.floor((length - 1) / CHUNK) * CHUNK;
  const cuts: number[] = [];
  for (let back = 0; back < last; back = 2 * back || CHUNK) cuts.unshift(last - back);
  return cuts;
}
