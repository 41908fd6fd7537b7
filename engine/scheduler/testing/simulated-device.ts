import type { BatchRow, DecodedStep, DecodeRun, RunSettings } from "../../runner/decode-run.ts";
import type { Executor } from "../executor.ts";
import type { Clock } from "../scheduler.ts";

/** A sequence's state: a hash of all tokens fed, which decides the next. */
export interface SimulatedState {
  readonly hash: number;
  readonly fed: number;
  /** The token drawn last, not yet fed. */
  readonly pending: number | undefined;
}

export const EMPTY: SimulatedState = { hash: 1, fed: 0, pending: undefined };

const VOCABULARY = 50_000;

const feedToken = ({ hash, fed }: SimulatedState, token: number): SimulatedState => ({
  hash: Math.imul(hash ^ token, 0x9e3779b1) ^ (hash >>> 15),
  fed: fed + 1,
  pending: undefined,
});

const drawToken = (state: SimulatedState, seed: number): SimulatedState => ({
  ...state,
  pending: (Math.imul(state.hash ^ seed, 0x85ebca6b) >>> 0) % VOCABULARY,
});

const feedAll = (state: SimulatedState, tokens: readonly number[]): SimulatedState =>
  tokens.reduce(feedToken, state);

/** A sequence's state after its prompt and so many tokens, 1 or more, and those tokens, as it draws them alone. */
export function decodeAlone(
  prompt: readonly number[],
  seed: number,
  count: number,
): { readonly tokens: readonly number[]; readonly state: SimulatedState } {
  let state = drawToken(feedAll(EMPTY, prompt), seed);
  const tokens = [state.pending!];
  while (tokens.length < count) {
    state = drawToken(feedToken(state, state.pending!), seed);
    tokens.push(state.pending!);
  }
  return { tokens, state };
}

export interface DeviceSizes {
  readonly slots: number;
  readonly promptRows: number;
  readonly maxSteps: number;
  readonly prefixRows: number;
}

/** Milliseconds of simulated time that a row of a prompt, a step, and a sequence's part of a step take. */
const COSTS = { row: 0.1, step: 2, stepRow: 0.02 } as const;

/**
 * A device, its clock and its event loop, without a GPU: states are hashes, work is done in order when {@link settle} lets
 * time pass, and whatever the scheduler may not do is an error.
 */
export class SimulatedDevice implements Executor, Clock {
  readonly promptRows: number;
  readonly maxSteps: number;
  readonly prefixRows: number;
  readonly portable = true;
  readonly states: SimulatedState[];
  /** Slots whose prompts were fed, in the order of the calls. */
  readonly fedSlots: number[] = [];
  /** Tokens of prompts fed. */
  fedTokens = 0;
  /** Sequences in each run of steps. */
  readonly runSizes: number[] = [];
  /** Runs of steps submitted and not done. */
  runsInFlight = 0;
  mostRunsInFlight = 0;
  /** Rows of prompts submitted and not done. */
  rowsInFlight = 0;
  mostRowsInFlight = 0;
  /** Most snapshots that one slot had at a time. */
  mostSnapshots = 0;
  readonly #snapshots: (SimulatedState | undefined)[];
  /** Of each snapshot row in use. */
  readonly #slots: (number | undefined)[];
  readonly #snapshotsOf: Uint8Array;
  readonly #freeSnapshots: number[];
  readonly #prefixes: (SimulatedState | undefined)[];
  readonly #work: { readonly milliseconds: number; readonly complete: () => void }[] = [];
  #done = 0;
  #tasks: (() => void)[] = [];
  /** By the round in which they end. */
  readonly #waits = new Map<number, (() => void)[]>();
  #round = 0;
  #now = 0;

  constructor({ slots, promptRows, maxSteps, prefixRows }: DeviceSizes) {
    this.promptRows = promptRows;
    this.maxSteps = maxSteps;
    this.prefixRows = prefixRows;
    this.states = new Array<SimulatedState>(slots).fill(EMPTY);
    const snapshots = 2 * slots + 1;
    this.#snapshots = new Array<undefined>(snapshots).fill(undefined);
    this.#slots = new Array<undefined>(snapshots).fill(undefined);
    this.#snapshotsOf = new Uint8Array(slots);
    this.#freeSnapshots = Array.from({ length: snapshots }, (_, row) => row);
    this.#prefixes = new Array<undefined>(prefixRows).fill(undefined);
  }

  now(): number {
    return this.#now;
  }

  afterTask(callback: () => void): void {
    this.#tasks.push(callback);
  }

  /** After so many of {@link settle}'s rounds. */
  ticks(ticks: number): Promise<void> {
    const round = this.#round + Math.max(1, ticks);
    const waits = this.#waits.get(round) ?? [];
    this.#waits.set(round, waits);
    return new Promise((resolve) => waits.push(resolve));
  }

  /** Lets readers read, tasks run and work be done, oldest first, until nothing is left of any. */
  async settle(): Promise<void> {
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve)); // all promises that can be resolved are
      const tasks = this.#tasks;
      this.#tasks = [];
      for (const task of tasks) task();
      const ended = this.#waits.get(++this.#round) ?? [];
      this.#waits.delete(this.#round);
      for (const resolve of ended) resolve();
      const work = this.#work[this.#done];
      if (work) {
        this.#done++;
        this.#now += work.milliseconds;
        work.complete();
      } else if (tasks.length + ended.length + this.#waits.size === 0) {
        return;
      }
    }
  }

  get snapshotsInUse(): number {
    return this.#snapshots.length - this.#freeSnapshots.length;
  }

  check(_: RunSettings): void {}

  takeSnapshot(): number {
    const row = this.#freeSnapshots.pop();
    if (row === undefined) throw new Error("no snapshot row is free");
    this.#snapshots[row] = undefined;
    return row;
  }

  giveSnapshot(row: number): void {
    const slot = this.#slots[row];
    if (slot === undefined)
      throw new Error(`nothing was saved in snapshot ${row}, or it was given back before`);
    this.#slots[row] = undefined;
    this.#snapshotsOf[slot]!--;
    this.#freeSnapshots.push(row);
  }

  saveSnapshot(slot: number, row: number): void {
    this.#snapshots[row] = this.states[slot];
    this.#slots[row] = slot;
    this.mostSnapshots = Math.max(this.mostSnapshots, ++this.#snapshotsOf[slot]!);
  }

  restoreSnapshot(slot: number, row: number): void {
    this.states[slot] = written(this.#snapshots[row], `snapshot ${row}`);
  }

  savePrefix(slot: number, row: number): void {
    if (row >= this.prefixRows) throw new Error(`no prefix row ${row}`);
    this.#prefixes[row] = this.states[slot];
  }

  restorePrefix(slot: number, row: number): void {
    this.states[slot] = written(this.#prefixes[row], `prefix ${row}`);
  }

  fork(from: number, to: number): void {
    this.states[to] = this.states[from]!;
  }

  feed(slot: number, position: number, tokens: readonly number[]): Promise<unknown> {
    return this.#feed(slot, position, tokens);
  }

  start(
    rows: readonly Pick<BatchRow, "slot" | "settings">[],
    position: number,
    tokens: readonly number[],
  ): DecodeRun[] {
    const first = rows[0]!.slot;
    const done = this.#feed(first, position, tokens);
    for (const { slot } of rows) this.fork(first, slot);
    return rows.map(({ slot, settings }) => {
      const state = drawToken(this.states[slot]!, settings.sampling.seed);
      this.states[slot] = state;
      return { position: state.fed - 1, steps: 1, results: done.then(() => [stepOf(state)]) };
    });
  }

  step(rows: readonly BatchRow[], steps: number): DecodeRun[] {
    if (steps < 1 || steps > this.maxSteps) throw new Error(`a run of ${steps} steps`);
    if (new Set(rows.map(({ slot }) => slot)).size < rows.length) throw new Error("a slot twice in a run");
    this.runSizes.push(rows.length);
    this.mostRunsInFlight = Math.max(this.mostRunsInFlight, ++this.runsInFlight);
    const done = this.#submit(steps * (COSTS.step + rows.length * COSTS.stepRow), () => {
      this.runsInFlight--;
    });
    return rows.map(({ slot, position, settings, snapshot }) => {
      let state = this.states[slot]!;
      this.#assertAt(state, position);
      if (snapshot !== undefined) this.saveSnapshot(slot, snapshot);
      const drawn: DecodedStep[] = [];
      for (let i = 0; i < steps; i++) {
        state = drawToken(feedToken(state, state.pending!), settings.sampling.seed);
        drawn.push(stepOf(state));
      }
      this.states[slot] = state;
      return { position, steps, results: done.then(() => drawn) };
    });
  }

  #feed(slot: number, position: number, tokens: readonly number[]): Promise<void> {
    this.#assertAt(this.states[slot]!, position);
    if (tokens.length === 0 || tokens.length > this.promptRows) throw new Error(`${tokens.length} rows`);
    this.states[slot] = feedAll(this.states[slot]!, tokens);
    this.fedSlots.push(slot);
    this.fedTokens += tokens.length;
    this.rowsInFlight += tokens.length;
    this.mostRowsInFlight = Math.max(this.mostRowsInFlight, this.rowsInFlight);
    return this.#submit(tokens.length * COSTS.row, () => {
      this.rowsInFlight -= tokens.length;
    });
  }

  #assertAt({ fed }: SimulatedState, position: number): void {
    if (fed !== position) throw new Error(`position ${position} of a sequence of ${fed} tokens`);
  }

  #submit(milliseconds: number, onDone: () => void = () => {}): Promise<void> {
    return new Promise((resolve) => {
      this.#work.push({
        milliseconds,
        complete: () => {
          onDone();
          resolve();
        },
      });
    });
  }
}

const stepOf = ({ pending }: SimulatedState): DecodedStep => ({ token: pending!, measures: undefined });

function written(state: SimulatedState | undefined, row: string): SimulatedState {
  if (!state) throw new Error(`nothing was saved in ${row}`);
  return state;
}
