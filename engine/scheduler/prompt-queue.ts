import { IndexedHeap } from "./indexed-heap.ts";

/** A prompt that waits to be fed. */
export interface Prompt {
  readonly client: unknown;
  /** Tokens still to be fed. */
  readonly left: number;
  /** The key for {@link PromptQueue.find}; undefined: it cannot be found. */
  readonly key?: string | undefined;
}

interface Waiting<P> {
  readonly prompt: P;
  /** The index of the prompt in the order of arrival at its client. */
  readonly arrival: number;
}

/** A client's prompts. */
interface ClientQueue<P> {
  /** Clients are served in the order of what they have used, and else of their ranks. */
  used: number;
  rank: number;
  /** Turns it has had. */
  turns: number;
  arrivals: number;
  readonly waiting: Map<P, Waiting<P>>;
  readonly byKey: Map<string, P>;
  readonly oldest: IndexedHeap<Waiting<P>>;
  readonly shortest: IndexedHeap<Waiting<P>>;
}

/**
 * Chooses the prompt to feed next. Clients take turns, those first that have used least where that is counted, and the
 * turns of a client go alternately to its oldest and its shortest prompt. So a short prompt does not wait for the end of a
 * long one, and a long one does not wait forever. Each operation takes time logarithmic in the number of waiting prompts.
 */
export class PromptQueue<P extends Prompt> {
  readonly #clients = new Map<unknown, ClientQueue<P>>();
  readonly #turns = new IndexedHeap<ClientQueue<P>>(
    (a, b) => a.used < b.used || (a.used === b.used && a.rank < b.rank),
  );
  #rank = 0;

  get waiting(): boolean {
    return this.#clients.size > 0;
  }

  /** A client's prompt of that key. */
  find(client: unknown, key: string): P | undefined {
    return this.#clients.get(client)?.byKey.get(key);
  }

  add(prompt: P): void {
    const queue = this.#clients.get(prompt.client) ?? this.#join(prompt.client);
    const waiting = { prompt, arrival: queue.arrivals++ };
    queue.waiting.set(prompt, waiting);
    if (prompt.key !== undefined && !queue.byKey.has(prompt.key)) queue.byKey.set(prompt.key, prompt);
    queue.oldest.add(waiting);
    queue.shortest.add(waiting);
  }

  delete(prompt: P): void {
    const queue = this.#clients.get(prompt.client);
    const waiting = queue?.waiting.get(prompt);
    if (!queue || !waiting) return;
    queue.waiting.delete(prompt);
    if (prompt.key !== undefined && queue.byKey.get(prompt.key) === prompt) queue.byKey.delete(prompt.key);
    queue.oldest.delete(waiting);
    queue.shortest.delete(waiting);
    if (queue.waiting.size > 0) return;
    this.#clients.delete(prompt.client);
    this.#turns.delete(queue);
  }

  /** Takes note that a prompt's `left` has changed. */
  changed(prompt: P): void {
    const queue = this.#clients.get(prompt.client);
    const waiting = queue?.waiting.get(prompt);
    if (waiting) queue?.shortest.update(waiting);
  }

  /** Takes note of what a client has used. */
  used(client: unknown, tokens: number): void {
    const queue = this.#clients.get(client);
    if (!queue || queue.used === tokens) return;
    queue.used = tokens;
    this.#turns.update(queue);
  }

  /** Nothing counts that was used. */
  forgive(): void {
    for (const client of this.#clients.keys()) this.used(client, 0);
  }

  /** The prompt whose turn it is. */
  next(): P | undefined {
    const queue = this.#turns.first;
    if (!queue) return undefined;
    return (queue.turns % 2 === 0 ? queue.oldest : queue.shortest).first?.prompt;
  }

  /** The client whose turn it is has had it. */
  rotate(): void {
    const queue = this.#turns.first;
    if (!queue) return;
    queue.turns++;
    queue.rank = this.#rank++;
    this.#turns.update(queue);
  }

  #join(client: unknown): ClientQueue<P> {
    const queue: ClientQueue<P> = {
      used: 0,
      rank: this.#rank++,
      turns: 0,
      arrivals: 0,
      waiting: new Map(),
      byKey: new Map(),
      oldest: new IndexedHeap((a, b) => a.arrival < b.arrival),
      shortest: new IndexedHeap(
        (a, b) => a.prompt.left < b.prompt.left || (a.prompt.left === b.prompt.left && a.arrival < b.arrival),
      ),
    };
    this.#clients.set(client, queue);
    this.#turns.add(queue);
    return queue;
  }
}
