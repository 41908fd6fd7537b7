import { CHUNK } from "../../kernels/memory-scan/memory-scan.ts";
import type { Run, Runner, RunSettings } from "../runner/runner.ts";
import { type Chunks, chunksOf, cutsOf } from "./prefix-cache.ts";

/** Where a stream stands. Everything else its future depends on lies in its slot of the state pool. */
export interface Cursor {
  readonly slot: number;
  /** Tokens fed. */
  position: number;
  /** The last token, not yet fed. */
  pending: number | undefined;
}

export interface DecodeOptions extends RunSettings {
  readonly maxTokens: number;
  /** Steps submitted at once, 1 to the runner's most; two such runs are kept in flight. 0: wait for every token. */
  readonly runAhead: number;
  readonly signal?: AbortSignal | undefined;
  /** Whose prompt it is: those of different clients are fed in turns, and share nothing. Default: everyone is one client. */
  readonly client?: unknown;
  /** Told, before the first token, how many of the prompt's tokens need not be fed, because others' were. */
  readonly onReuse?: (tokens: number) => void;
}

/** Turns in flight: one that the GPU computes, and one that waits for it. */
export const DEPTH = 2;

/** Rows of a prompt that a turn feeds, and when they are. */
export interface Fed {
  readonly rows: number;
  readonly done: Promise<unknown>;
}

/** A part in a run, not read to its end. */
interface Flight {
  readonly run: Run;
  /** The stream as it was before the run. */
  readonly snapshot: number;
  arrived: boolean;
}

/** A stream in the batch, from its joining to its leaving. */
export class Member {
  readonly #runner: Runner;
  readonly cursor: Cursor;
  readonly options: DecodeOptions;
  readonly prompt: readonly number[];
  /** Whether it has no past before the prompt. */
  readonly #fresh: boolean;
  /** Of the next token to feed. */
  position: number;
  /** Tokens of the prompt still to be fed. */
  left: number;
  /** Streams with the same prompt, to become copies of this one when it is fed. */
  readonly followers = new Set<Member>();
  /** By which beginnings are known. */
  readonly #chunks: Chunks;
  /** Lengths of beginnings to keep. */
  #cuts: readonly number[];
  /** Tokens of the prompt that others' were. */
  #reused = 0;
  /** Steps of the first flight that the reader has been given. */
  read = 0;
  /** Whether the reader takes its time. */
  stalled = false;
  failure: { readonly error: unknown } | undefined;
  readonly #flights: Flight[] = [];
  /** The stream as it was before its prompt, while that is being fed. */
  #before: number | undefined;
  #submitted = 0;
  /** Most steps of the next run: it grows, so that the first tokens come soon. */
  #size = 1;
  #wake: () => void = () => {};

  constructor(runner: Runner, cursor: Cursor, prompt: readonly number[], options: DecodeOptions) {
    this.#runner = runner;
    this.cursor = cursor;
    this.prompt = prompt;
    this.options = options;
    this.position = cursor.position;
    this.left = prompt.length;
    this.#fresh = cursor.position === 0 && cursor.pending === undefined;
    const keeps = this.#fresh && runner.prefixes !== undefined;
    this.#chunks = keeps ? chunksOf(prompt) : [];
    this.#cuts = keeps ? cutsOf(prompt.length) : [];
  }

  /** Whether it can become a copy of another when that one's prompt is fed. */
  canFollow(other: Member): boolean {
    return (
      this.#runner.portable &&
      this.#fresh &&
      other.#fresh &&
      (this.options.readoutScale ?? 0) === (other.options.readoutScale ?? 0) &&
      this.prompt.length === other.prompt.length &&
      this.prompt.every((token, i) => token === other.prompt[i])
    );
  }

  /** Goes on where another leaves, which it followed. */
  inherit(other: Member): void {
    this.#keepBefore();
    this.#runner.fork(other.cursor.slot, this.cursor.slot);
    this.position = other.position;
    this.left = other.left;
    this.#reused = other.position;
    this.#cuts = other.#cuts;
  }

  /** Whether the next run should have it: there are tokens to draw, and somebody reads them. */
  get due(): boolean {
    return this.#submitted < this.options.maxTokens && !this.stalled;
  }

  /** Whether the next run can have it. */
  get ready(): boolean {
    return this.due && this.#flights.length < (this.options.runAhead === 0 ? 1 : DEPTH);
  }

  /** Most steps of a run that it is in. */
  get steps(): number {
    return Math.min(this.#size, this.options.maxTokens - this.#submitted);
  }

  /** The first flight, if it has come in. */
  get arrived(): Flight | undefined {
    return this.#flights[0]?.arrived ? this.#flights[0] : undefined;
  }

  /**
   * Feeds the next part of the prompt: to its end or to a cut, or as many whole chunks of the scan as `room` has rows for.
   * After its last token, draws the first of its own and its followers'.
   */
  feedNext(room: number): Fed {
    this.#reuse();
    this.#keepBefore();
    const most = Math.min(this.left, (this.#cuts[0] ?? Number.POSITIVE_INFINITY) - this.position);
    const rows = most <= room ? most : Math.floor(room / CHUNK) * CHUNK;
    if (rows === 0) return { rows, done: Promise.resolve() };
    const from = this.prompt.length - this.left;
    const tokens = this.prompt.slice(from, from + rows);
    if (rows === this.left) return { rows, done: this.#finishPrompt(tokens) };
    const { gpu, prefixes } = this.#runner;
    const { slot } = this.cursor;
    this.#runner.feed(slot, this.position, tokens, this.options);
    this.#advance(rows);
    if (prefixes && this.position === this.#cuts[0]) {
      const row = prefixes.keep(this.options.client, this.#chunks, this.position);
      if (row !== undefined) this.#runner.keep(slot, row, prefixes.pool);
    }
    return { rows, done: gpu.device.queue.onSubmittedWorkDone() };
  }

  /** Goes on from the longest beginning that is kept by now, if it is longer than what was fed. */
  #reuse(): void {
    const { prefixes } = this.#runner;
    if (!prefixes || this.#chunks.length === 0) return;
    const { kept, row, shared } = prefixes.find(this.options.client, this.#chunks);
    const more = kept - this.position;
    if (row !== undefined && more > 0) {
      this.#keepBefore();
      this.#runner.restore(this.cursor.slot, row, prefixes.pool);
      this.#reused += more;
      this.#advance(more);
    }
    // Where it parts from another, a third may part from both.
    const cuts = new Set([...this.#cuts, shared].filter((cut) => cut > this.position));
    this.#cuts = [...cuts].sort((a, b) => a - b);
  }

  #finishPrompt(tokens: readonly number[]): Promise<unknown> {
    const together = [this, ...this.followers];
    for (const follower of this.followers) {
      follower.#keepBefore();
      follower.position = this.position;
      follower.#reused = follower.prompt.length;
    }
    const streams = together.map(({ cursor, options: settings }) => ({ slot: cursor.slot, settings }));
    const runs = this.#runner.prompts(streams, this.position, tokens);
    together.forEach((member, i) => {
      member.#advance(tokens.length - 1); // the last is the run's
      member.left = 0;
      member.board(runs[i]!, member.#before!);
      member.#before = undefined;
      member.options.onReuse?.(member.#reused);
    });
    this.followers.clear();
    return Promise.allSettled(runs.map((run) => run.results));
  }

  /** Keeps the stream as it is before its prompt. */
  #keepBefore(): void {
    if (this.#before !== undefined) return;
    const row = this.#runner.snapshots.take();
    this.#before = row;
    this.#runner.keep(this.cursor.slot, row);
  }

  #advance(length: number): void {
    this.left -= length;
    this.position += length;
  }

  /** Takes part in a run. */
  board(run: Run, snapshot: number): void {
    const flight: Flight = { run, snapshot, arrived: false };
    const arrive = (): void => {
      flight.arrived = true;
    };
    run.results.then(arrive, arrive);
    if (this.#submitted > 0) {
      this.#size = Math.min(2 * this.#size, Math.max(1, this.options.runAhead), this.#runner.maxSteps);
    }
    this.#flights.push(flight);
    this.#submitted += run.steps;
    this.position += run.steps;
    this.#wake();
  }

  /** The oldest part in a run, as soon as there is one. @throws what kept it from being submitted */
  async firstFlight(): Promise<Flight> {
    for (;;) {
      if (this.#flights[0]) return this.#flights[0];
      if (this.failure) throw this.failure.error;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** The first flight has been read to its end. */
  land(): void {
    const flight = this.#flights.shift();
    if (flight) this.#runner.snapshots.give(flight.snapshot);
    this.read = 0;
    this.stalled = false;
  }

  fail(error: unknown): void {
    this.failure = { error };
    this.#wake();
  }

  /** Brings the stream back to the last token that the reader was given. */
  undo(): void {
    const runner = this.#runner;
    const { slot } = this.cursor;
    if (this.read > 0 && this.read === this.#flights[0]?.run.steps) this.land();
    const [first] = this.#flights;
    const before = first?.snapshot ?? this.#before;
    try {
      if (before === undefined) return;
      runner.restore(slot, before);
      if (first && this.read > 0)
        runner.steps(slot, first.run.position, this.read, { ...this.options, trace: false });
    } finally {
      for (const { snapshot } of this.#flights) runner.snapshots.give(snapshot);
      if (this.#before !== undefined) runner.snapshots.give(this.#before);
    }
  }
}
