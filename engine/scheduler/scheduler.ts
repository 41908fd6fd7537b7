import { abortable } from "../../common/abortable.ts";
import { ResonantError } from "../../common/errors.ts";
import type { DecodedStep } from "../runner/decode-run.ts";
import type { Executor } from "./executor.ts";
import { type Decision, Policy, type TurnSize } from "./policy.ts";
import { PrefixCache } from "./prefix-cache.ts";
import { type Cursor, DEPTH, type DecodeOptions, Sequence } from "./sequence.ts";
import { Submitter } from "./submitter.ts";
import { type Piece, type Task, type TaskOptions, Tasks } from "./task.ts";

/** What the scheduler knows of time. */
export interface Clock {
  /** In milliseconds. */
  now(): number;
  /** Calls back in a later task, after all that is ready to run by now. */
  afterTask(callback: () => void): void;
}

const systemClock: Clock = {
  now: () => performance.now(),
  afterTask: (callback) => void setTimeout(callback, 0),
};

/** What a scheduler has done and has to do, in numbers. */
export interface SchedulerStats {
  /** Whether states can be moved: if not, a sequence keeps its slot to its end. */
  readonly portable: boolean;
  readonly slots: number;
  /** Sequences that have joined and not left: with a slot, waiting for one, and neither, since their readers do not read. */
  readonly sequences: number;
  readonly resident: number;
  readonly waiting: number;
  /** Parked states in GPU memory, and on the host or on their way there. */
  readonly parkedOnGpu: number;
  readonly parkedOnHost: number;
  /** Searches and scorings that wait for their turn. */
  readonly tasks: number;
  /** Clients with sequences, or that others wait for. */
  readonly clients: number;
  /** Turns done so far. */
  readonly turns: number;
  /** How often a sequence gave up its slot to another. */
  readonly moves: number;
  /** Tokens computed so far: of prompts, drawn, and of searches and scorings. */
  readonly fedTokens: number;
  readonly drawnTokens: number;
  readonly searchedTokens: number;
}

/**
 * Continuous batching (Orca, Yu et al. 2022): every step draws a token of each sequence that decodes. A turn feeds chunks
 * of prompts (chunked prefill, Agrawal et al. 2023) and runs steps of all sequences that are ready; two turns are kept in
 * flight. Where more sequences are there than slots, they take turns in these, and searches take turns with them. A sequence's tokens depend on nothing but itself, whatever shares its passes, and whatever of its prompt was
 * already fed for another.
 */
export class Scheduler {
  /** Which states after prefixes of prompts are kept; undefined: none are. */
  readonly prefixes: PrefixCache | undefined;
  readonly #executor: Executor;
  readonly #clock: Clock;
  readonly #policy: Policy;
  readonly #submitter: Submitter;
  readonly #tasks: Tasks;
  #turns = 0;
  #turnsInFlight = 0;
  /** When the last turn was done. */
  #doneAt = 0;

  constructor(executor: Executor, clock: Clock = systemClock) {
    const { slots, promptRows, portable, prefixRows } = executor;
    this.prefixes = prefixRows > 0 ? new PrefixCache(prefixRows) : undefined;
    this.#executor = executor;
    this.#clock = clock;
    this.#tasks = new Tasks(() => queueMicrotask(() => this.#submitTurns()));
    const room = (): number => executor.room;
    const { prefixes } = this;
    this.#policy = new Policy({ slots, promptRows, portable, prefixes, room, tasks: this.#tasks });
    this.#submitter = new Submitter(executor);
    executor.onRoom(() => {
      if (this.#policy.waiting > 0) queueMicrotask(() => this.#submitTurns());
    });
  }

  /** Sequences that wait with a prompt, or decode. */
  get size(): number {
    return this.#policy.size;
  }

  stats(): SchedulerStats {
    const { slots, portable, parked } = this.#executor;
    const { size, residents, waiting, clients, moves, tokens } = this.#policy;
    return {
      portable,
      slots,
      sequences: size,
      resident: residents,
      waiting,
      parkedOnGpu: parked.onGpu,
      parkedOnHost: parked.onHost,
      tasks: this.#tasks.waiting,
      clients,
      turns: this.#turns,
      moves,
      fedTokens: tokens.fed,
      drawnTokens: tokens.drawn,
      searchedTokens: tokens.searched,
    };
  }

  /** Other work, whose pieces take turns with the sequences. End it when it is done. */
  task(options: TaskOptions): Task {
    return this.#tasks.open(options);
  }

  /**
   * Feeds `prompt` after the stream's pending token and draws up to `maxTokens` tokens, several steps ahead of the reader.
   * However the reader leaves — at the end, early, by an exception or through `signal` — the stream then stands right
   * after the last token it was given: what was computed beyond is undone from a snapshot, and the accepted steps of a
   * run that was only partly read are run again. A stream whose reader does not read is left out of the steps until it does.
   * @param cursor of a stream that nobody else decodes
   * @throws ResonantError `invalid_argument` with nothing to feed; the signal's reason when it is aborted
   */
  async *decode(
    cursor: Cursor,
    prompt: readonly number[],
    options: DecodeOptions,
  ): AsyncGenerator<DecodedStep, void, undefined> {
    const whole = cursor.pending === undefined ? prompt : [cursor.pending, ...prompt];
    if (whole.length === 0) {
      throw new ResonantError("invalid_argument", "there is nothing to continue", {
        option: "prompt",
        fix: "Give a prompt of at least one token, or a state",
      });
    }
    const { signal, maxTokens } = options;
    signal?.throwIfAborted();
    this.#executor.check(options); // refused here, such options fail nobody else's run
    const sequence = new Sequence(cursor, whole, options, this.#executor.maxSteps);
    this.#policy.join(sequence);
    queueMicrotask(() => this.#submitTurns()); // later, so that all who join at the same time are in it
    try {
      for (let given = 0; given < maxTokens; ) {
        const run = await abortable(sequence.firstRun(), signal);
        for (const step of await abortable(run.results, signal)) {
          signal?.throwIfAborted();
          cursor.position = run.position + sequence.read + 1;
          cursor.pending = step.token;
          sequence.read++;
          given++;
          yield step;
        }
        this.#submitter.release(this.#policy.finishRun(sequence) ?? []);
        this.#submitTurns();
      }
    } finally {
      await this.#leave(sequence);
    }
  }

  /** Decides and submits turns while there is something to do and not too much in flight. */
  #submitTurns(): void {
    while (this.#turnsInFlight < DEPTH && !this.#policy.waitsForReaders) {
      const start = this.#clock.now();
      const work: Promise<unknown>[] = [];
      let [rows, steps] = [0, 0];
      let piece: Piece | undefined;
      for (const decision of this.#policy.turn()) {
        const done = this.#submit(decision);
        if (!done) continue;
        work.push(done);
        if (decision.kind === "step") steps = decision.steps;
        else if (decision.kind === "task") piece = decision.piece;
        else if ("tokens" in decision) rows += decision.tokens.length;
      }
      if (work.length === 0) return;
      this.#turns++;
      this.#turnsInFlight++;
      void Promise.allSettled(work).then(() => this.#completeTurn({ rows, steps, piece }, start));
    }
  }

  /** A turn is done: learns from how long it took, and goes on. */
  #completeTurn(size: TurnSize, start: number): void {
    this.#turnsInFlight--;
    const now = this.#clock.now();
    this.#policy.measure(size, now - Math.max(start, this.#doneAt));
    this.#doneAt = now;
    this.#submitTurns();
    this.#noticeLateReaders();
  }

  /** What cannot even be submitted fails its sequences, and is thrown to their readers. */
  #submit(decision: Decision): Promise<unknown> | undefined {
    if (decision.kind === "task") return decision.piece.submit();
    try {
      const done = this.#submitter.submit(decision);
      if (decision.kind === "move") this.#awaitArrivals(decision.park);
      return done;
    } catch (error) {
      for (const sequence of this.#policy.drop(decision)) sequence.fail(error);
      return undefined;
    }
  }

  /** A reader that has not taken its tokens by the next task is waited for no longer. */
  #noticeLateReaders(): void {
    const unread = this.#policy.unread();
    if (unread.length === 0) return;
    this.#clock.afterTask(() => {
      for (const [sequence, run] of unread) this.#policy.stall(sequence, run);
      this.#submitTurns();
    });
  }

  /** Sequences whose states are on their way to the host wait for no slot until they have come there. */
  #awaitArrivals(parked: readonly Sequence[]): void {
    for (const sequence of parked) {
      const { arrival } = sequence.cursor.place.saved;
      if (!arrival) continue;
      this.#policy.travels(sequence, true);
      const arrived = (): void => {
        if (sequence.left) return;
        this.#policy.travels(sequence, false);
        this.#submitTurns();
      };
      arrival.then(arrived, (error: unknown) => {
        if (sequence.left) return;
        this.#policy.leave(sequence);
        sequence.fail(error);
      });
    }
  }

  async #leave(sequence: Sequence): Promise<void> {
    sequence.left = true;
    const inheritance = this.#policy.leave(sequence);
    if (inheritance) this.#submit(inheritance);
    try {
      const rewound = this.#submitter.rewind(sequence);
      if (rewound) await rewound;
    } finally {
      this.#submitTurns();
    }
  }
}
