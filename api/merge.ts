import { abortable } from "../common/abortable.ts";

/** A generator's item, with the generator's index. */
export interface Merged<T> {
  readonly index: number;
  readonly item: T;
}

/**
 * Reads several generators, which may begin at any time, and yields their items in the order in which they arrive. Each is
 * read one item ahead. An item takes the same time however many generators there are.
 */
export class Merge<T> {
  readonly #count: number;
  readonly #signal: AbortSignal;
  readonly #ended: () => void;
  readonly #open = new Map<number, AsyncGenerator<T, void, undefined>>();
  readonly #arrived: Merged<T>[] = [];
  #done = 0;
  #failure: { readonly error: unknown } | undefined;
  #wake = (): void => {};

  /**
   * @param count the number of generators that will begin
   * @param signal ends the reading with its reason when it is aborted
   * @param ended is called when the reader stops, all have ended or one has failed; no more of them may begin then
   */
  constructor(count: number, signal: AbortSignal, ended: () => void) {
    this.#count = count;
    this.#signal = signal;
    this.#ended = ended;
  }

  /** Begins to read a generator. */
  begin(index: number, source: AsyncGenerator<T, void, undefined>): void {
    this.#open.set(index, source);
    this.#step(index, source);
  }

  #step(index: number, source: AsyncGenerator<T, void, undefined>): void {
    const arrive = ({ done, value }: IteratorResult<T, void>): void => {
      if (done) {
        this.#open.delete(index);
        this.#done++;
      } else {
        this.#arrived.push({ index, item: value });
      }
      this.#wake();
    };
    source.next().then(arrive, (error: unknown) => {
      this.#failure ??= { error };
      this.#wake();
    });
  }

  /** Yields the items. @throws what a generator throws; the signal's reason */
  async *items(): AsyncGenerator<Merged<T>, void, undefined> {
    try {
      for (;;) {
        const next = this.#arrived.shift();
        if (next) {
          this.#step(next.index, this.#open.get(next.index)!);
          yield next;
        } else if (this.#failure) {
          throw this.#failure.error;
        } else if (this.#done === this.#count) {
          return;
        } else {
          const arrival = new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
          await abortable(arrival, this.#signal);
        }
      }
    } finally {
      this.#ended();
      await Promise.allSettled([...this.#open.values()].map((source) => source.return()));
    }
  }
}
