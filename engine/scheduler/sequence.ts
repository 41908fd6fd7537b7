import type { DecodeRun, RunSettings } from "../runner/decode-run.ts";
import type { Place } from "../state/residence.ts";
import { EMPTY_STATE, type SavedState } from "../state/saved-states.ts";

/** Where a stream stands. Everything else its future depends on is its state. */
export interface Cursor {
  /** Where its state lies. */
  readonly place: Place;
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
  /** Which of the client's requests it belongs to. These take turns too, and then what belongs to one. Default: one for all. */
  readonly request?: unknown;
  /** Called before the first token with the number of prompt tokens that were not fed because the state after them was known. */
  readonly onReuse?: (tokens: number) => void;
}

/** Turns in flight: one that the device computes, and one that waits for it. */
export const DEPTH = 2;

/** A sequence that is far ahead of its reader keeps a state at least every so many tokens. */
const MOST_REPLAYED = 64;

/** A run that has been submitted and is not yet read to its end. */
export interface RunInFlight extends DecodeRun {
  /** The state before the run; undefined: only an earlier one is kept. */
  snapshot: SavedState | undefined;
  /** Whether it is the one that fed the prompt's end: its steps alone do not lead from the state before it to that after it. */
  readonly first: boolean;
  /** Whether its tokens have come, or its failure. */
  arrived: boolean;
}

/** A state to go back to, and the steps from there to where the stream should stand. */
export interface Origin {
  readonly saved: SavedState;
  /** Of the first of the steps. */
  readonly position: number;
  readonly steps: number;
}

/** A stream that decodes, from joining the scheduler until it leaves: what was submitted for it, and what was read. */
export class Sequence {
  readonly cursor: Cursor;
  readonly options: DecodeOptions;
  /** Tokens to feed before the first is drawn. */
  readonly prompt: readonly number[];
  /** Whether nothing was fed before the prompt. */
  readonly fresh: boolean;
  /** Whether its state has been nowhere yet. */
  readonly empty: boolean;
  /** The oldest first. */
  readonly runs: RunInFlight[] = [];
  /** Of the next token to feed, once the prompt is fed. */
  position: number;
  /** Tokens of the oldest run that the reader was given. */
  read = 0;
  /** Whether its tokens have come, but the reader does not take them. */
  stalled = false;
  /** The state before the prompt, while the prompt is fed. */
  before: SavedState | undefined;
  /** Whether it has a slot. */
  seated = false;
  /** Whether its reader has left. */
  left = false;
  /** Whether its state is on its way to the host. */
  away = false;
  /** Whether it is computed however far behind its reader is, since it keeps a slot that others wait for. */
  hurried = false;
  /** From where the oldest run can be reached, if its own state is not kept: the steps lead to that run. */
  #anchor: Origin | undefined;
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
    this.empty = cursor.place.saved === EMPTY_STATE && cursor.place.slot === undefined;
    this.#longestRun = Math.min(Math.max(1, options.runAhead), maxSteps);
  }

  /** The slot of a sequence that has one. */
  get slot(): number {
    return this.cursor.place.slot!;
  }

  /** Whether its prompt is fed and its first token drawn, as far as was submitted. */
  get started(): boolean {
    return this.#submitted > 0;
  }

  /** Whether it should be in the next run: tokens are left to draw, and the reader takes them. */
  get due(): boolean {
    return this.#submitted < this.options.maxTokens && (!this.stalled || this.hurried);
  }

  /** Whether it can be in the next run: it is due, and not too far ahead of its reader. */
  get ready(): boolean {
    return this.due && (this.hurried || this.runs.length < (this.options.runAhead === 0 ? 1 : DEPTH));
  }

  /** Whether it needs a slot, or should keep the one it has. */
  get wants(): boolean {
    if (this.away) return false;
    if (!this.started) return true;
    return this.seated ? this.due : this.ready;
  }

  /** Most steps of the next run. */
  get mostSteps(): number {
    return Math.min(this.#runSteps, this.options.maxTokens - this.#submitted);
  }

  /** Whether the state before its next run must be kept, so that nobody has to go back far. */
  get needsSnapshot(): boolean {
    if (!this.hurried || this.runs.length === 0) return true;
    const last = this.runs.findLast(({ snapshot, first }) => snapshot !== undefined && !first);
    return !last || this.position - last.position >= MOST_REPLAYED;
  }

  /** Takes note of a submitted run, before which the state was saved. */
  submitted(run: DecodeRun, snapshot: SavedState | undefined): void {
    const inFlight: RunInFlight = { ...run, snapshot, first: !this.started, arrived: false };
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

  /** The reader has been given all of the oldest run. @returns the states that are needed no more; undefined: there was no run */
  finishRun(): readonly SavedState[] | undefined {
    const run = this.runs.shift();
    if (!run) return undefined;
    this.read = 0;
    this.stalled = false;
    if (this.runs.length < DEPTH) this.hurried = false;
    const before = this.#anchor;
    const { snapshot: saved, position, steps } = run;
    this.#anchor = saved ? { saved, position, steps } : before && { ...before, steps: before.steps + steps };
    const useless = saved && before ? [before.saved] : [];
    const [next] = this.runs;
    if (this.#anchor && (!next || next.snapshot)) {
      useless.push(this.#anchor.saved);
      this.#anchor = undefined;
    }
    return useless;
  }

  /** From where the state after the last token that its reader was given can be reached; undefined: it is the present state. */
  get origin(): Origin | undefined {
    const [first] = this.runs;
    if (!first) return this.before && { saved: this.before, position: this.position, steps: 0 };
    const { snapshot: saved, position } = first;
    if (saved) return { saved, position, steps: this.read };
    return this.#anchor && { ...this.#anchor, steps: this.#anchor.steps + this.read };
  }

  /** All states that are kept for it. */
  get kept(): readonly SavedState[] {
    const all = [this.before, this.#anchor?.saved, ...this.runs.map(({ snapshot }) => snapshot)];
    return all.filter((saved) => saved !== undefined);
  }

  /** Keeps only the states that it needs to go back anywhere. @returns the others */
  keepFew(): readonly SavedState[] {
    const oldest = this.origin?.saved;
    const afterPrompt = this.runs[0]?.first ? this.runs[1]?.snapshot : undefined;
    const others = this.kept.filter((saved) => saved !== oldest && saved !== afterPrompt);
    for (const run of this.runs) if (run.snapshot && others.includes(run.snapshot)) run.snapshot = undefined;
    return others;
  }

  /** Its work could not be submitted: the reader gets this error after the runs that could. */
  fail(error: unknown): void {
    this.#failure = { error };
    this.#wake();
  }
}
