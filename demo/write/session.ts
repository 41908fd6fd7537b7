import { signal } from "@preact/signals";
import type { Client } from "../engine/client.ts";
import { type Failure, failureOf } from "../engine/errors.ts";
import type { ModelInfo, OpenStream, Sampling, WriteEvent, Written } from "../engine/protocol.ts";
import { History } from "../oscillators/history.ts";

/** A part of a transcript, written by the reader or by the model. */
export interface Segment {
  readonly kind: "prompt" | "text";
  readonly text: string;
}

/** Measurements of the last generation. */
export interface Figures {
  readonly tokens: number;
  /** Milliseconds from the request to the first token. */
  readonly first: number;
  /** Tokens a second after the first; undefined if there is only one. */
  readonly perSecond: number | undefined;
}

/** How the last generation went. */
export type Ending =
  | { readonly kind: "written"; readonly reason: Written["reason"] }
  | { readonly kind: "failed"; readonly failure: Failure };

interface Request {
  readonly prompt: string;
  readonly sampling: Sampling;
}

let keys = 0;

/** A text and the stream that continues it. */
export class Session {
  readonly key = ++keys;
  readonly #client: Client;
  readonly model: ModelInfo;
  readonly history: History;
  readonly segments = signal<readonly Segment[]>([]);
  readonly draft = signal("");
  readonly writing = signal(false);
  readonly figures = signal<Figures | undefined>(undefined);
  readonly ending = signal<Ending | undefined>(undefined);
  /** Tokens that the stream remembers. */
  readonly position = signal(0);
  /** The seed of the last generation, if the page knows it. */
  readonly seed = signal<number | undefined>(undefined);
  /** The number of this continuation among those of one state: each draws its own tokens. */
  readonly choice: number;
  #stream: OpenStream | undefined;
  /** The stream's state after the last finished generation, to restart from on a new device. */
  #kept: Uint8Array<ArrayBuffer> | undefined;
  /** The running generation, and the transcript before it. */
  #request: (Request & { readonly before: readonly Segment[] }) | undefined;
  #arrived: WriteEvent[] = [];
  #flushing = false;

  constructor(client: Client, model: ModelInfo, choice = 0) {
    this.#client = client;
    this.model = model;
    this.choice = choice;
    this.history = new History(model.shape);
  }

  /** Whether the stream has no past. */
  get fresh(): boolean {
    return this.position.value === 0;
  }

  /** Appends `prompt` and continues the text. */
  async write({ prompt, sampling }: Request): Promise<void> {
    if (this.writing.peek()) return;
    this.writing.value = true;
    this.ending.value = undefined;
    this.figures.value = undefined;
    const before = this.segments.peek();
    const fresh = this.position.peek() === 0;
    const seed = sampling.seed ?? (fresh ? randomSeed() : undefined);
    if (seed !== undefined) this.seed.value = seed;
    this.#request = { prompt, sampling: { ...sampling, seed }, before };
    if (prompt !== "") this.segments.value = [...before, { kind: "prompt", text: prompt }];
    try {
      const { id } = await this.#open();
      const offset = before.reduce((sum, { text }) => sum + text.length, 0);
      const { reason, position } = await this.#client.write(
        id,
        prompt,
        this.#request.sampling,
        this.choice,
        offset,
        (event) => this.#take(event),
      );
      this.#flush();
      this.position.value = position;
      await this.#keep();
      this.#request = undefined;
      this.ending.value = { kind: "written", reason };
    } catch (error) {
      this.#flush();
      const failure = failureOf(error);
      // A lost device loses the stream: `recover` repeats the request from the kept state.
      if (failure.code !== "device_lost") {
        this.#request = undefined;
        if (this.figures.peek() === undefined) this.segments.value = before; // the prompt was refused
      }
      this.ending.value = { kind: "failed", failure };
    } finally {
      this.writing.value = false;
    }
  }

  async stop(): Promise<void> {
    if (this.#stream) await this.#client.engine.stop(this.#stream.id);
  }

  /** The stream's state as a file. */
  async save(): Promise<Blob> {
    const { id } = await this.#open();
    return new Blob([await this.#client.engine.save(id)], { type: "application/octet-stream" });
  }

  /** Continues from a saved state in place of the current stream. Nothing changes if the file is refused. */
  async load(file: File): Promise<void> {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const stream = await this.#client.engine.restore(bytes, file.name);
    await this.close();
    this.#stream = stream;
    this.position.value = stream.position;
    this.segments.value = [];
    this.figures.value = undefined;
    this.ending.value = undefined;
    this.seed.value = undefined;
    this.history.clear();
    await this.#keep();
  }

  /** A second session that continues from here independently. */
  async fork(choice: number): Promise<Session> {
    const copy = new Session(this.#client, this.model, choice);
    const { id } = await this.#open();
    copy.#stream = await this.#client.engine.fork(id);
    copy.#kept = this.#kept;
    copy.segments.value = this.segments.peek();
    copy.position.value = this.position.peek();
    copy.seed.value = this.seed.peek();
    return copy;
  }

  /** Closes the stream. */
  async close(): Promise<void> {
    const stream = this.#stream;
    this.#stream = undefined;
    if (stream) await this.#client.engine.close(stream.id);
  }

  /** After the model was loaded again: restores the stream, and repeats an interrupted generation with the same seed. */
  async recover(): Promise<void> {
    const request = this.#request;
    this.#stream = this.#kept ? await this.#client.engine.restore(this.#kept, "the kept state") : undefined;
    this.ending.value = undefined;
    if (!request) return;
    this.segments.value = request.before;
    await this.write(request);
  }

  async #open(): Promise<OpenStream> {
    this.#stream ??= await this.#client.engine.open();
    return this.#stream;
  }

  async #keep(): Promise<void> {
    if (this.#stream && this.model.portable) this.#kept = await this.#client.engine.save(this.#stream.id);
  }

  #take(event: WriteEvent): void {
    for (const trace of event.traces) this.history.push(trace);
    this.#arrived.push(event);
    if (this.#flushing) return;
    this.#flushing = true;
    // A hidden page gets no animation frames.
    if (document.hidden) setTimeout(() => this.#flush(), 250);
    else requestAnimationFrame(() => this.#flush());
  }

  /** Shows what has arrived, once a frame. */
  #flush(): void {
    this.#flushing = false;
    const events = this.#arrived.splice(0);
    const [last] = events.slice(-1);
    if (!last) return;
    const text = events.map((event) => event.text).join("");
    const segments = this.segments.peek();
    const end = segments.at(-1);
    this.segments.value =
      end?.kind === "text"
        ? [...segments.slice(0, -1), { kind: "text", text: end.text + text }]
        : [...segments, { kind: "text", text }];
    const { tokens, milliseconds } = last;
    const first = this.figures.peek()?.first ?? events[0]!.milliseconds;
    const perSecond = tokens > 1 ? (1000 * (tokens - 1)) / (milliseconds - first) : undefined;
    this.figures.value = { tokens, first, perSecond };
    this.position.value = last.position;
  }
}

/** 32 bits, so that it is easy to write down. */
const randomSeed = (): number => crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
