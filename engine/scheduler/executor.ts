import type { BatchRow, DecodeRun, RunSettings } from "../runner/decode-run.ts";
import type { Place } from "../state/residence.ts";
import type { SavedState } from "../state/saved-states.ts";

/** Steps to take again. */
export interface Replay {
  /** Of the first token to feed. */
  readonly position: number;
  readonly steps: number;
  readonly settings: RunSettings;
}

/**
 * What the scheduler asks of a device. Each sequence that is computed has its state in a slot; snapshots, parked states and
 * kept prefixes are copies of such states. Work is done in the order of the calls; a call returns at once, and throws where
 * the work cannot be submitted.
 */
export interface Executor {
  /** Most sequences that can be computed together. */
  readonly slots: number;
  /** Most rows of prompts in one turn. */
  readonly promptRows: number;
  /** Most steps of one run. */
  readonly maxSteps: number;
  /** Whether a state can be copied from one slot to another. */
  readonly portable: boolean;
  /** Rows for states after prefixes of prompts; 0: none are kept. */
  readonly prefixRows: number;
  /** Slots that a sequence's state can be brought into now. */
  readonly room: number;
  /** @param callback called when a stream that is closed has given its slot back */
  onRoom(callback: () => void): void;
  /** Parked states. */
  readonly parked: { readonly onGpu: number; readonly onHost: number };

  /** @throws ResonantError `invalid_argument` for settings that no run can have */
  check(settings: RunSettings): void;

  /** Brings a state into a slot. */
  place(place: Place): void;
  /** Moves a state out of its slot. */
  park(place: Place): void;
  /** A state that is not computed any more: others may have its slot. */
  rest(place: Place): void;
  /** Puts a stream back to a copy of its state, forgets the copy, and takes steps again. */
  rewind(place: Place, to: SavedState, replay?: Replay): void;

  /** A snapshot of nothing yet. */
  takeSnapshot(): SavedState;
  giveSnapshot(saved: SavedState): void;
  saveSnapshot(slot: number, to: SavedState): void;
  /** Keeps a snapshot where parked states are. */
  parkSnapshot(saved: SavedState): void;
  savePrefix(slot: number, row: number): void;
  restorePrefix(slot: number, row: number): void;
  /** Copies a slot's state to another slot. */
  fork(from: number, to: number): void;

  /** Feeds part of a prompt and draws no token. @returns when it is done */
  feed(slot: number, position: number, tokens: readonly number[], settings: RunSettings): Promise<unknown>;
  /**
   * Feeds the last part of a prompt to the first slot, copies its state to the others, and draws the next token of each.
   * @returns a run of one step for each slot
   */
  start(
    rows: readonly Pick<BatchRow, "slot" | "settings">[],
    position: number,
    tokens: readonly number[],
  ): DecodeRun[];
  /**
   * Feeds each slot's last token and draws the next, `steps` times.
   * @returns a run for each row
   */
  step(rows: readonly BatchRow[], steps: number): DecodeRun[];
}
