import { abortable } from "../../common/abortable.ts";
import { ResonantError } from "../../common/errors.ts";
import { CHUNK } from "../../kernels/memory-scan/memory-scan.ts";
import type { Runner, Step } from "../runner/runner.ts";
import { PromptQueue } from "./prompt-queue.ts";
import { type Cursor, DEPTH, type DecodeOptions, type Fed, Member } from "./sequence.ts";

/** Milliseconds that a turn should take at most: whoever comes waits for two of them. */
const PATIENCE = 100;

/**
 * Continuous batching (Orca, Yu et al. 2022): every step draws a token of each stream that decodes. A turn feeds chunks
 * of prompts (chunked prefill, Agrawal et al. 2023) and runs steps of all streams that are ready; two turns are kept in
 * flight. A stream's tokens depend on nothing but itself, whatever shares its passes, and whatever of its prompt was
 * already fed for another.
 */
export class Batch {
  readonly #runner: Runner;
  /** Streams whose prompts are not fed to their ends. */
  readonly #prompts = new PromptQueue<Member>();
  /** Streams whose prompts are fed. */
  readonly #decoding = new Set<Member>();
  #inFlight = 0;
  /** Rows of prompts that a turn feeds. */
  #rows = CHUNK;
  /** Milliseconds that a step took. */
  #step = 0;
  /** When the last turn was done. */
  #done = 0;

  constructor(runner: Runner) {
    this.#runner = runner;
  }

  /** Streams that wait with a prompt, or decode. */
  get size(): number {
    let size = this.#decoding.size;
    for (const { followers } of this.#prompts) size += 1 + followers.size;
    return size;
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
    const whole = cursor.pending === undefined ? prompt : [cursor.pending, ...prompt];
    if (whole.length === 0) {
      throw new ResonantError("invalid_argument", "there is nothing to continue", {
        where: "prompt",
        fix: "Give a prompt of at least one token, or a state",
      });
    }
    const { signal, maxTokens } = options;
    signal?.throwIfAborted();
    this.#runner.votes(options.readoutScale); // refused here, a scale fails nobody else's run
    const member = new Member(this.#runner, cursor, whole, options);
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

  /** Waits for its prompt to be fed: beside one of its client's that begins alike and has the same prompt, or for itself. */
  #join(member: Member): void {
    for (const other of this.#prompts.of(member.options.client)) {
      if (!member.canFollow(other)) continue;
      other.followers.add(member);
      return;
    }
    this.#prompts.add(member);
    queueMicrotask(() => this.#turns()); // when everyone has joined who does so at the same time
  }

  #leave(member: Member): void {
    const { client } = member.options;
    for (const other of this.#prompts.of(client)) other.followers.delete(member);
    this.#prompts.delete(member);
    this.#decoding.delete(member);
    const [heir, ...others] = member.followers;
    if (heir) {
      this.#attempt([heir, ...others], () => {
        heir.inherit(member);
        for (const other of others) heir.followers.add(other);
        this.#prompts.add(heir);
      });
    }
    try {
      member.undo();
    } finally {
      this.#turns();
    }
  }

  /** Submits turns while somebody waits for one, and nobody is about to be ready for it who would miss it. */
  #turns(): void {
    while (this.#inFlight < DEPTH && [...this.#decoding].every((member) => member.ready || !member.due)) {
      const start = performance.now();
      const prompts = this.#feedPrompts();
      const run = this.#runSteps();
      const work = [...prompts, ...run].map(({ done }) => done);
      if (work.length === 0) return;
      this.#inFlight++;
      void Promise.allSettled(work).then(() => {
        this.#inFlight--;
        const now = performance.now();
        this.#adapt(prompts, run, now - Math.max(start, this.#done));
        this.#done = now;
        this.#turns();
        this.#notice();
      });
    }
  }

  /** Sets what the next turns do to what takes {@link PATIENCE}, as far as one that took so long can tell. */
  #adapt(prompts: readonly Fed[], [run]: readonly Stepped[], milliseconds: number): void {
    const fed = prompts.reduce((sum, { rows }) => sum + rows, 0);
    if (run && fed === 0) this.#step = milliseconds / run.steps;
    if (fed === 0 || (fed < this.#rows && milliseconds < PATIENCE)) return;
    const rows = Math.min(2 * this.#rows, this.#runner.promptRows, (fed * PATIENCE) / milliseconds);
    this.#rows = Math.max(CHUNK, Math.floor(rows / CHUNK) * CHUNK);
  }

  /** Feeds prompts, one client's after another's, as far as a turn's rows go. */
  #feedPrompts(): Fed[] {
    const all: Fed[] = [];
    for (let room = this.#rows; room > 0; room -= all.at(-1)!.rows) {
      const member = this.#prompts.next();
      if (!member) break;
      const together = [member, ...member.followers];
      const fed = this.#attempt(together, () => member.feedNext(room));
      if (fed?.rows === 0) break;
      this.#prompts.turn();
      all.push(fed ?? { rows: 0, done: Promise.resolve() });
      if (!fed || member.left > 0) continue;
      this.#prompts.delete(member);
      for (const each of together) this.#decoding.add(each);
    }
    return all;
  }

  /** A run of steps of all streams that are ready: one step while prompts wait, more and more while the batch is stable. */
  #runSteps(): Stepped[] {
    const ready = [...this.#decoding].filter((member) => member.ready);
    if (ready.length === 0) return [];
    ready.sort((a, b) => a.cursor.slot - b.cursor.slot); // neighbours are copied together
    const most = this.#prompts.waiting ? 1 : Math.max(1, Math.floor(PATIENCE / this.#step));
    const steps = Math.min(most, ...ready.map((member) => member.steps));
    const done = this.#attempt(ready, () => {
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
    return done ? [{ steps, done }] : [];
  }

  /** What cannot even be submitted ends in the readers' hands. */
  #attempt<T>(members: readonly Member[], submit: () => T): T | undefined {
    try {
      return submit();
    } catch (error) {
      for (const member of members) {
        this.#prompts.delete(member);
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

/** Steps of a run, and when they are done. */
interface Stepped {
  readonly steps: number;
  readonly done: Promise<unknown>;
}
