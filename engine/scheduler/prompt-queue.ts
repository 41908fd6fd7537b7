/** Something that waits for its prompt to be fed. */
export interface Prompt {
  readonly options: { readonly client?: unknown };
  /** Tokens still to be fed. */
  readonly left: number;
}

/**
 * Whose prompt is fed next. Clients take turns, and each gives its turns to its oldest prompt and to its shortest
 * alternately: a short one never waits for a long one's end, nor a long one for ever.
 */
export class PromptQueue<P extends Prompt> {
  /** The first client is served next; its prompts in the order they came. */
  readonly #clients = new Map<unknown, { readonly prompts: Set<P>; turns: number }>();

  get waiting(): boolean {
    return this.#clients.size > 0;
  }

  *[Symbol.iterator](): Iterator<P> {
    for (const { prompts } of this.#clients.values()) yield* prompts;
  }

  /** A client's prompts, in the order they came. */
  *of(client: unknown): Iterable<P> {
    yield* this.#clients.get(client)?.prompts ?? [];
  }

  add(prompt: P): void {
    const { client } = prompt.options;
    const queue = this.#clients.get(client);
    if (queue) queue.prompts.add(prompt);
    else this.#clients.set(client, { prompts: new Set([prompt]), turns: 0 });
  }

  delete(prompt: P): void {
    const { client } = prompt.options;
    const queue = this.#clients.get(client);
    queue?.prompts.delete(prompt);
    if (queue?.prompts.size === 0) this.#clients.delete(client);
  }

  /** The prompt whose turn it is. */
  next(): P | undefined {
    const [first] = this.#clients.values();
    if (!first) return undefined;
    const [oldest, ...younger] = first.prompts;
    if (first.turns % 2 === 0) return oldest;
    return younger.reduce((least, prompt) => (prompt.left < least!.left ? prompt : least), oldest);
  }

  /** The first client has had its turn. */
  turn(): void {
    for (const [client, queue] of this.#clients) {
      this.#clients.delete(client);
      this.#clients.set(client, { ...queue, turns: queue.turns + 1 });
      return;
    }
  }
}
