import type { DecodeRun, RunSettings } from "../runner/decode-run.ts";

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
  /** Most steps submitted at once, up to the device's limit; two such runs are kept in flight. 0: one step, when the last was read. */
  readonly runAhead: number;
  readonly signal?: AbortSignal | undefined;
  /** Whose prompt it is: clients take turns, and share nothing. Default: everyone is one client. */
  readonly client?: unknown;
  /** Called before the first token with the number of prompt tokens that were not fed because the state after them was known. */
  readonly onReuse?: (tokens: number) => void;
}

/** Turns in flight: one that the device computes, and one that waits for it. */
export const DEPTH = 2;

/** A run that has been submitted and is not yet read to its end. */
export interface RunInFlight extends DecodeRun {
  /** Snapshot row of the state before the run. */
  readonly snapshot: number;
  /** Whether its tokens have come, or its failure. */
  arrived: boolean;
}

/** A stream that decodes, from joining the scheduler until it leaves: what was submitted for it, and what was read. */
export class Sequence {
  readonly cursor: Cursor;
  readonly options: DecodeOptions;
  /** Tokens to feed before the first is drawn. */
  readonly prompt: readonly number[];
  /** Whether nothing was fed before the prompt. */
  readonly fresh: boolean;
  /** The oldest first. */
  readonly runs: RunInFlight[] = [];
  /** Of the next token to feed, once the prompt is fed. */
  position: number;
  /** Tokens of the oldest run that the reader was given. */
  read = 0;
  /** Whether its tokens have come, but the reader does not take them. */
  stalled = false;
  /** Snapshot row of the state before the prompt, while the prompt is fed. */
  before: number | undefined;
  #failure: { readonly error: unknown } | undefined;
  readonly #longestRun: number;
  /** Most steps of the next run: it doubles from 1, so that the first tokens come soon. */
  #runSteps = 1;
  /** Tokens that submitted runs draw. */
  #submitted = 0;
  #wake: () => void = () => {};

  /** @param maxSteps of one run */
  constructor(cursor: Cursor, prompt: readonly number[], options: DecodeOptions, maxSteps: number) {
    this.cursor = cursor;
    this.prompt = prompt;
    this.options = options;
    this.position = cursor.position;
    this.fresh = cursor.position === 0 && cursor.pending === undefined;
    this.#longestRun = Math.min(Math.max(1, options.runAhead), maxSteps);
  }

  get slot(): number {
    return this.cursor.slot;
  }

  /** Whether it should be in the next run: tokens are left to draw, and the reader takes them. */
  get due(): boolean {
    return this.#submitted < this.options.maxTokens && !this.stalled;
  }

  /** Whether it can be in the next run: it is due, and not too far ahead of its reader. */
  get ready(): boolean {
    return this.due && this.runs.length < (this.options.runAhead === 0 ? 1 : DEPTH);
  }

  /** Most steps of the next run. */
  get mostSteps(): number {
    return Math.min(this.#runSteps, this.options.maxTokens - this.#submitted);
  }

  /** Takes note of a submitted run, before which the state was saved in a snapshot row. */
  submitted(run: DecodeRun, snapshot: number): void {
    const inFlight: RunInFlight = { ...run, snapshot, arrived: false };
    const arrive = (): void => {
      inFlight.arrived = true;
    };
    run.results.then(arrive, arrive);
    if (this.#submitted > 0) this.#runSteps = Math.min(2 * this.#runSteps, this.#longestRun);
    this.runs.push(inFlight);
    this.#submitted += run.steps;
    this.position = run.position + run.steps;
    this.#wake();
  }

  /** The oldest run, as soon as there is one. @throws what kept it from being submitted */
  async firstRun(): Promise<RunInFlight> {
    for (;;) {
      if (this.runs[0]) return this.runs[0];
      if (this.#failure) throw this.#failure.error;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** The reader has been given all of the oldest run. @returns that run, whose snapshot is needed no more */
  finishRun(): RunInFlight | undefined {
    this.read = 0;
    this.stalled = false;
    return this.runs.shift();
  }

  /** Its work could not be submitted: the reader gets this error after the runs that could. */
  fail(error: unknown): void {
    this.#failure = { error };
    this.#wake();
  }
}
