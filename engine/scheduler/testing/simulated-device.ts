import type { BatchRow, DecodedStep, DecodeRun, RunSettings } from "../../runner/decode-run.ts";
import type { Place } from "../../state/residence.ts";
import { EMPTY_STATE, SavedState } from "../../state/saved-states.ts";
import type { Executor, Replay } from "../executor.ts";
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
  /** Parked states on the device; the others are on the host. Default: all are on the device. */
  readonly parkedRows?: number;
  /** Default true. */
  readonly portable?: boolean;
}

/** Milliseconds of simulated time that a row of a prompt, a step, and a sequence's part of a step take. */
const COSTS = { row: 0.1, step: 2, stepRow: 0.02 } as const;

/**
 * A device, its clock and its event loop, without a GPU: states are hashes, work is done in order when {@link settle} lets
 * time pass, and whatever the scheduler may not do is an error.
 */
export class SimulatedDevice implements Executor, Clock {
  readonly slots: number;
  readonly promptRows: number;
  readonly maxSteps: number;
  readonly prefixRows: number;
  readonly portable: boolean;
  /** Of each slot; the last one is for work on streams that have none. */
  readonly states: SimulatedState[];
  /** Places whose prompts were fed, in the order of the calls. */
  readonly fedPlaces: Place[] = [];
  /** Places in the order in which they were brought into slots, and moved out of them. */
  readonly placed: Place[] = [];
  readonly parkedPlaces: Place[] = [];
  /** Steps of each place in turn: called with the places of each run. */
  onRun: (places: readonly Place[], steps: number) => void = () => {};
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
  mostSnapshots = 0;
  mostParked = 0;
  readonly #parkedRows: number;
  readonly #contents = new Map<SavedState, SimulatedState>();
  readonly #parked = { onGpu: 0, onHost: 0 };
  #snapshotsInUse = 0;
  #onRoom: () => void = () => {};
  readonly #free: number[];
  readonly #owners: (Place | undefined)[];
  readonly #idle = new Set<Place>();
  #rows = 1;
  readonly #byRow = new Map<number, SavedState>();
  readonly #prefixes: (SimulatedState | undefined)[];
  readonly #work: { readonly milliseconds: number; readonly complete: () => void }[] = [];
  #done = 0;
  #tasks: (() => void)[] = [];
  /** By the round in which they end. */
  readonly #waits = new Map<number, (() => void)[]>();
  #round = 0;
  #now = 0;

  constructor({ slots, promptRows, maxSteps, prefixRows, parkedRows, portable = true }: DeviceSizes) {
    this.slots = slots;
    this.promptRows = promptRows;
    this.maxSteps = maxSteps;
    this.prefixRows = prefixRows;
    this.portable = portable;
    this.#parkedRows = parkedRows ?? Number.POSITIVE_INFINITY;
    this.states = new Array<SimulatedState>(slots + 1).fill(EMPTY);
    this.#owners = new Array<undefined>(slots).fill(undefined);
    this.#free = Array.from({ length: slots }, (_, i) => slots - 1 - i);
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
    return this.#snapshotsInUse;
  }

  get parked(): { readonly onGpu: number; readonly onHost: number } {
    return { ...this.#parked };
  }

  get room(): number {
    return this.#free.length + (this.portable ? this.#idle.size : 0);
  }

  onRoom(callback: () => void): void {
    this.#onRoom = callback;
  }

  check(_: RunSettings): void {}

  /** The state of a stream, wherever it is. */
  stateOf({ slot, saved }: Place): SimulatedState {
    return slot === undefined ? this.#content(saved) : this.states[slot]!;
  }

  place(place: Place): void {
    this.#idle.delete(place);
    if (place.slot !== undefined) return;
    if (this.#free.length === 0) {
      const [idle] = this.#idle;
      if (idle) this.park(idle);
    }
    const slot = this.#free.pop();
    if (slot === undefined) throw new Error("no slot is free");
    this.states[slot] = this.#content(place.saved);
    this.giveSnapshot(place.saved);
    place.saved = EMPTY_STATE;
    place.slot = slot;
    this.#owners[slot] = place;
    this.placed.push(place);
  }

  park(place: Place): void {
    if (!this.portable) throw new Error("a state that cannot be moved was to be parked");
    const { slot } = place;
    if (slot === undefined) throw new Error("a stream without a slot was to be parked");
    place.saved = this.#parkState(this.states[slot]!);
    this.close(place);
    this.parkedPlaces.push(place);
  }

  rest(place: Place): void {
    if (place.slot !== undefined) this.#idle.add(place);
  }

  /** Gives a stream's slot back. */
  close(place: Place): void {
    this.#idle.delete(place);
    if (place.slot === undefined) return;
    this.#owners[place.slot] = undefined;
    this.#free.push(place.slot);
    place.slot = undefined;
    this.#onRoom();
  }

  rewind(place: Place, to: SavedState, replay?: Replay): void {
    const state = this.#content(to);
    this.giveSnapshot(to);
    const slot = place.slot ?? this.slots;
    this.states[slot] = state;
    if (replay) {
      const { position, settings, steps } = replay;
      for (let done = 0; done < steps; done += this.maxSteps) {
        const part = Math.min(this.maxSteps, steps - done);
        this.step([{ slot, position: position + done, settings }], part);
      }
    }
    if (place.slot !== undefined) return;
    this.giveSnapshot(place.saved);
    place.saved = this.#parkState(this.states[slot]!);
  }

  takeSnapshot(): SavedState {
    const saved = new SavedState();
    if (++this.#snapshotsInUse > 2 * this.slots + 1) throw new Error("no snapshot row is free");
    this.mostSnapshots = Math.max(this.mostSnapshots, this.#snapshotsInUse);
    saved.row = this.#rows++;
    this.#byRow.set(saved.row, saved);
    return saved;
  }

  giveSnapshot(saved: SavedState): void {
    if (saved === EMPTY_STATE) return;
    if (!this.#contents.delete(saved))
      throw new Error("nothing was saved there, or it was given back before");
    if (!saved.parked) this.#snapshotsInUse--;
    else if (saved.row !== undefined) this.#parked.onGpu--;
    else this.#parked.onHost--;
    saved.parked = false;
  }

  saveSnapshot(slot: number, to: SavedState): void {
    this.#contents.set(to, this.states[slot]!);
  }

  parkSnapshot(saved: SavedState): void {
    if (saved === EMPTY_STATE || saved.parked) return;
    this.#content(saved);
    this.#snapshotsInUse--;
    this.#count(saved);
  }

  #parkState(state: SimulatedState): SavedState {
    const saved = new SavedState();
    this.#contents.set(saved, state);
    saved.row = 0;
    this.#count(saved);
    return saved;
  }

  /** Counts a state with the parked ones. On its way to the host it cannot be used until the work before it is done. */
  #count(saved: SavedState): void {
    saved.parked = true;
    if (this.#parked.onGpu < this.#parkedRows) this.#parked.onGpu++;
    else {
      this.#parked.onHost++;
      saved.row = undefined;
      saved.arrival = this.#submit(0, () => {
        saved.arrival = undefined;
      });
    }
    this.mostParked = Math.max(this.mostParked, this.#parked.onGpu + this.#parked.onHost);
  }

  #content(saved: SavedState): SimulatedState {
    if (saved === EMPTY_STATE) return EMPTY;
    if (saved.arrival) throw new Error("a state on its way to the host was used");
    return written(this.#contents.get(saved), "this copy");
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
    this.onRun(
      rows.map(({ slot }) => this.#owners[slot]!),
      1,
    );
    return rows.map(({ slot, settings }) => {
      const state = drawToken(this.states[slot]!, settings.sampling.seed);
      this.states[slot] = state;
      return { position: state.fed - 1, steps: 1, results: done.then(() => [stepOf(state)]) };
    });
  }

  step(rows: readonly BatchRow[], steps: number): DecodeRun[] {
    if (steps < 1 || steps > this.maxSteps) throw new Error(`a run of ${steps} steps`);
    if (new Set(rows.map(({ slot }) => slot)).size < rows.length) throw new Error("a slot twice in a run");
    if (rows.length > this.slots) throw new Error(`a run of ${rows.length} sequences`);
    this.runSizes.push(rows.length);
    if (rows[0]!.slot < this.slots)
      this.onRun(
        rows.map(({ slot }) => this.#owners[slot]!),
        steps,
      );
    this.mostRunsInFlight = Math.max(this.mostRunsInFlight, ++this.runsInFlight);
    const done = this.#submit(steps * (COSTS.step + rows.length * COSTS.stepRow), () => {
      this.runsInFlight--;
    });
    return rows.map(({ slot, position, settings, snapshot }) => {
      let state = this.states[slot]!;
      this.#assertAt(state, position);
      if (snapshot !== undefined) this.saveSnapshot(slot, this.#byRow.get(snapshot)!);
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
    this.fedPlaces.push(this.#owners[slot]!);
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
