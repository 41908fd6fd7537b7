import { abortable } from "../common/abortable.ts";

/** Bytes that are given to a connection at once. */
const CHUNK = 16 * 1024;

/** Text between what writes it and the connection that takes it, so that a slow reader does not hold what writes. */
export class EventBuffer {
  readonly #most: number;
  readonly #encoder = new TextEncoder();
  #parts: { readonly text: string; readonly bytes: number }[] = [];
  #bytes = 0;
  #ended = false;
  #cut = false;
  #wakeWriter = (): void => {};
  #wakeReader = (): void => {};

  /** Bytes that the connection has taken. */
  taken = 0;
  /** Whether the connection has been waiting for text since this was last set to false. */
  caughtUp = false;

  /** @param most bytes; what waits may exceed this by one text */
  constructor(most: number) {
    this.#most = most;
  }

  /** Bytes that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  get full(): boolean {
    return this.#bytes >= this.#most;
  }

  /** Whether {@link cut} was called. */
  get isCut(): boolean {
    return this.#cut;
  }

  /** Whether nothing follows what waits. */
  get ended(): boolean {
    return this.#ended;
  }

  push(text: string): void {
    if (this.#ended) return;
    const bytes = Buffer.byteLength(text);
    this.#parts.push({ text, bytes });
    this.#bytes += bytes;
    this.#wakeReader();
  }

  /** Nothing follows what was pushed. */
  end(): void {
    this.#ended = true;
    this.#wakeReader();
  }

  /** Drops what waits, and ends with a last text. What is pushed later is forgotten. */
  cut(text: string): void {
    this.#parts = [];
    this.#bytes = 0;
    this.#ended = false;
    this.push(text);
    this.#cut = true;
    this.end();
  }

  /** Resolves when there is room. @throws the signal's reason when it is aborted */
  async room(signal: AbortSignal): Promise<void> {
    while (this.full) {
      const room = new Promise<void>((resolve) => {
        this.#wakeWriter = resolve;
      });
      await abortable(room, signal);
    }
  }

  /** Takes the next texts, about 16 kB at most, as soon as there are any; undefined at the end. */
  async take(): Promise<Uint8Array | undefined> {
    while (this.#parts.length === 0) {
      if (this.#ended) return undefined;
      this.caughtUp = true;
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
      });
    }
    let [count, bytes] = [0, 0];
    while (count < this.#parts.length && bytes < CHUNK) bytes += this.#parts[count++]!.bytes;
    const texts = this.#parts.splice(0, count).map(({ text }) => text);
    this.#bytes -= bytes;
    this.taken += bytes;
    if (!this.full) this.#wakeWriter();
    return this.#encoder.encode(texts.join(""));
  }
}
