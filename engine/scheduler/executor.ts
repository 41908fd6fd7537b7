import type { BatchRow, DecodeRun, RunSettings } from "../runner/decode-run.ts";

/**
 * What the scheduler asks of a device. Each sequence has its state in a slot; snapshots and kept prefixes are copies of
 * such states, each in a row. Work is done in the order of the calls; a call returns at once, and throws where the work
 * cannot be submitted.
 */
export interface Executor {
  /** Most rows of prompts in one turn. */
  readonly promptRows: number;
  /** Most steps of one run. */
  readonly maxSteps: number;
  /** Whether a state can be copied from one slot to another. */
  readonly portable: boolean;
  /** Rows for states after prefixes of prompts; 0: none are kept. */
  readonly prefixRows: number;

  /** @throws ResonantError `invalid_argument` for settings that no run can have */
  check(settings: RunSettings): void;

  /** A snapshot row that nobody uses. */
  takeSnapshot(): number;
  giveSnapshot(row: number): void;
  saveSnapshot(slot: number, row: number): void;
  restoreSnapshot(slot: number, row: number): void;
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
