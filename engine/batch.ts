import { CHUNK } from "../kernels/memory-scan/memory-scan.ts";
import { abortable } from "./abortable.ts";
import { ResonantError } from "./errors.ts";
import type { Run, Runner, RunSettings, Step } from "./runner.ts";

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
  /** Whose prompt it is: those of different clients are fed in turns. Default: everyone is one client. */
  readonly client?: unknown;
}

export interface BatchOptions {
  /** Most rows of prompts between two runs of steps, while streams decode; a multiple of the scan's chunk. Default 128. */
  readonly promptRows?: number;
}

/** Turns in flight: one that the GPU computes, and one that waits for it. */
const DEPTH = 2;

/**
 * Continuous batching (Orca, Yu et al. 2022): every step draws a token of each stream that decodes. A turn feeds chunks
 * of prompts (chunked prefill, Agrawal et al. 2023) and runs steps of all streams that are ready; two turns are kept in
 * flight. A stream's tokens depend on nothing but itself, whatever shares its passes.
 */
export class Batch {
  readonly #runner: Runner;
  readonly #promptRows: number;
  /** Prompts that are not fed to their ends, by client; the first client is served next, its first prompt first. */
  readonly #prompts = new Map<unknown, Member[]>();
  /** Streams whose prompts are fed. */
  readonly #decoding = new Set<Member>();
  #inFlight = 0;

  constructor(runner: Runner, { promptRows = 128 }: BatchOptions = {}) {
    this.#runner = runner;
    this.#promptRows = Math.min(runner.promptRows, Math.max(1, Math.floor(promptRows / CHUNK)) * CHUNK);
  }

  /** Streams that wait with a prompt, or decode. */
  get size(): number {
    return [...this.#prompts.values()].reduce((sum, queue) => sum + queue.length, this.#decoding.size);
  }

  /**
   * Feeds `prompt` after the stream's pending token and draws up to `maxTokens` tokens, several steps ahead of the reader.
   * However the reader leaves — at the end, early, by an exception or through `signal` — the stream then stands right
   * after the last token it was given: what was computed beyond is undone from a snapshot, and the accepted steps of a
   * run that was only partly read are run again. Who does not read is left out of the steps until they do.
   * @param cursor of a stream that nobody else decodes
   * @throws ResonantError `invalid_argument` with nothing to feed; the signal's reason when it is aborted
   */
  async *decode(
    cursor: Cursor,
    prompt: readonly number[],
    options: DecodeOptions,
  ): AsyncGenerator<Step, void, undefined> {
    const feed = cursor.pending === undefined ? prompt : [cursor.pending, ...prompt];
    if (feed.length === 0) {
      throw new ResonantError("invalid_argument", "there is nothing to continue", {
        where: "prompt",
        fix: "Give a prompt of at least one token, or a state",
      });
    }
    const { signal, maxTokens } = options;
    signal?.throwIfAborted();
    this.#runner.votes(options.readoutScale); // refused here, a scale fails nobody else's run
    const member = new Member(this.#runner, cursor, feed, options);
    this.#join(member);
    try {
      for (let given = 0; given < maxTokens; ) {
        const { run } = await abortable(member.firstFlight(), signal);
        for (const step of await abortable(run.results, signal)) {
          signal?.throwIfAborted();
          cursor.position = run.position + member.read + 1;
          cursor.pending = step.token;
          member.read++;
          given++;
          yield step;
        }
        member.land();
        this.#turns();
      }
    } finally {
      this.#leave(member);
    }
  }

  #join(member: Member): void {
    const { client } = member.options;
    const queue = this.#prompts.get(client);
    if (queue) queue.push(member);
    else this.#prompts.set(client, [member]);
    this.#turns();
  }

  #leave(member: Member): void {
    const { client } = member.options;
    const others = this.#prompts.get(client)?.filter((each) => each !== member) ?? [];
    if (others.length > 0) this.#prompts.set(client, others);
    else this.#prompts.delete(client);
    this.#decoding.delete(member);
    try {
      member.undo();
    } finally {
      this.#turns();
    }
  }

  /** Submits turns while somebody waits for one, and nobody is about to be ready for it who would miss it. */
  #turns(): void {
    while (this.#inFlight < DEPTH && [...this.#decoding].every((member) => member.ready || !member.due)) {
      const work = [...this.#feedPrompts(), ...this.#runSteps()];
      if (work.length === 0) return;
      this.#inFlight++;
      void Promise.allSettled(work).then(() => {
        this.#inFlight--;
        this.#turns();
        this.#notice();
      });
    }
  }

  /** Feeds prompts, one client's after another's, as far as a turn's rows go. */
  *#feedPrompts(): Iterable<Promise<unknown>> {
    let rows = this.#decoding.size > 0 ? this.#promptRows : this.#runner.promptRows;
    while (rows > 0) {
      const [client, [member, ...others] = []] = this.#prompts.entries().next().value ?? [];
      const length = member ? cut(member.feed.length, rows) : 0;
      if (!member || length === 0) return;
      rows -= length;
      const work = this.#attempt([member], () => member.feedNext(length));
      if (member.fed && !member.failure) this.#decoding.add(member);
      const rest = member.fed || member.failure ? others : [member, ...others];
      this.#prompts.delete(client);
      if (rest.length > 0) this.#prompts.set(client, rest); // now the last in turn
      if (work) yield work;
    }
  }

  /** A run of steps of all streams that are ready: one step while prompts wait, more and more while the batch is stable. */
  *#runSteps(): Iterable<Promise<unknown>> {
    const ready = [...this.#decoding].filter((member) => member.ready);
    if (ready.length === 0) return;
    ready.sort((a, b) => a.cursor.slot - b.cursor.slot); // neighbours are copied together
    const steps = this.#prompts.size > 0 ? 1 : Math.min(...ready.map((member) => member.steps));
    const work = this.#attempt(ready, () => {
      const { snapshots } = this.#runner;
      const taken: number[] = [];
      try {
        for (const _ of ready) taken.push(snapshots.take());
        const rows = ready.map(({ cursor, position, options: settings }, i) => ({
          slot: cursor.slot,
          position,
          settings,
          snapshot: taken[i],
        }));
        const runs = this.#runner.batch(rows, steps);
        ready.forEach((member, i) => {
          member.board(runs[i]!, taken[i]!);
        });
        return Promise.allSettled(runs.map((run) => run.results));
      } catch (error) {
        for (const snapshot of taken) snapshots.give(snapshot);
        throw error;
      }
    });
    if (work) yield work;
  }

  /** What cannot even be submitted ends in the readers' hands. */
  #attempt(members: readonly Member[], submit: () => Promise<unknown>): Promise<unknown> | undefined {
    try {
      return submit();
    } catch (error) {
      for (const member of members) {
        this.#decoding.delete(member);
        member.fail(error);
      }
      return undefined;
    }
  }

  /** Whoever has not read what has come by the next task is waited for no longer. */
  #notice(): void {
    const late = [...this.#decoding].filter((member) => member.due && !member.ready);
    if (late.length === 0) return;
    const flights = late.map((member) => member.arrived);
    setTimeout(() => {
      late.forEach((member, i) => {
        if (flights[i] && member.arrived === flights[i]) member.stalled = true;
      });
      this.#turns();
    }, 0);
  }
}

/** Tokens of a prompt that a turn of `rows` takes: all, or as many whole chunks of the scan as there is room for. */
const cut = (length: number, rows: number): number =>
  length <= rows ? length : Math.floor(rows / CHUNK) * CHUNK;

/** A part in a run, not read to its end. */
interface Flight {
  readonly run: Run;
  /** The stream as it was before the run. */
  readonly snapshot: number;
  arrived: boolean;
}

/** A stream in the batch, from its joining to its leaving. */
class Member {
  readonly #runner: Runner;
  readonly cursor: Cursor;
  readonly options: DecodeOptions;
  /** What of the prompt is still to be fed. */
  feed: readonly number[];
  /** Of the next token to feed. */
  position: number;
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

  constructor(runner: Runner, cursor: Cursor, feed: readonly number[], options: DecodeOptions) {
    this.#runner = runner;
    this.cursor = cursor;
    this.feed = feed;
    this.options = options;
    this.position = cursor.position;
  }

  get fed(): boolean {
    return this.feed.length === 0;
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

  /** Feeds `length` tokens of the prompt, and draws its first token after the last. */
  feedNext(length: number): Promise<unknown> {
    const runner = this.#runner;
    const { slot } = this.cursor;
    if (this.#before === undefined) {
      this.#before = runner.snapshots.take();
      runner.keep(slot, this.#before);
    }
    const tokens = this.feed.slice(0, length);
    if (length < this.feed.length) {
      runner.feed(slot, this.position, tokens);
      this.#advance(length);
      return runner.gpu.device.queue.onSubmittedWorkDone();
    }
    const run = runner.prompt(slot, this.position, tokens, this.options);
    this.#advance(length - 1); // the last is the run's
    this.feed = [];
    this.board(run, this.#before);
    this.#before = undefined;
    return run.results;
  }

  #advance(length: number): void {
    this.feed = this.feed.slice(length);
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
      if (first && this.read > 0) runner.steps(slot, first.run.position, this.read, this.options);
    } finally {
      for (const { snapshot } of this.#flights) runner.snapshots.give(snapshot);
      if (this.#before !== undefined) runner.snapshots.give(this.#before);
    }
  }
}
