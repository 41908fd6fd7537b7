import type { BatchRow, DecodeRun, RunSettings } from "../runner/decode-run.ts";
import type { Runner } from "../runner/runner.ts";
import type { Place } from "../state/residence.ts";
import type { SavedState } from "../state/saved-states.ts";
import type { Executor, Replay } from "./executor.ts";

/** The scheduler's device, as a model's runner is one. */
export class RunnerExecutor implements Executor {
  readonly #runner: Runner;

  constructor(runner: Runner) {
    this.#runner = runner;
  }

  get slots(): number {
    return this.#runner.pool.slots;
  }

  get room(): number {
    return this.#runner.residence.room;
  }

  onRoom(callback: () => void): void {
    this.#runner.residence.onRoom = callback;
  }

  get parked(): Executor["parked"] {
    return this.#runner.snapshots.parked;
  }

  get promptRows(): number {
    return this.#runner.promptRows;
  }

  get maxSteps(): number {
    return this.#runner.maxSteps;
  }

  get portable(): boolean {
    return this.#runner.portable;
  }

  get prefixRows(): number {
    return this.#runner.prefixes?.rows ?? 0;
  }

  check({ readoutScale }: RunSettings): void {
    this.#runner.biases(readoutScale);
  }

  place(place: Place): void {
    this.#runner.residence.bring(place);
  }

  park(place: Place): void {
    this.#runner.residence.park(place);
  }

  rest(place: Place): void {
    this.#runner.residence.rest(place);
  }

  rewind(place: Place, to: SavedState, replay?: Replay): void {
    const again =
      replay &&
      ((slot: number): void => {
        const { settings, steps } = replay;
        for (let done = 0; done < steps; done += this.maxSteps) {
          const position = replay.position + done;
          this.#runner.batch([{ slot, position, settings }], Math.min(this.maxSteps, steps - done));
        }
      });
    this.#runner.residence.rewind(place, to, again);
  }

  takeSnapshot(): SavedState {
    return this.#runner.snapshots.take();
  }

  giveSnapshot(saved: SavedState): void {
    this.#runner.snapshots.give(saved);
  }

  saveSnapshot(slot: number, to: SavedState): void {
    this.#runner.snapshots.keep(slot, to);
  }

  parkSnapshot(saved: SavedState): void {
    this.#runner.snapshots.parkSnapshot(saved);
  }

  savePrefix(slot: number, row: number): void {
    this.#runner.snapshots.keep(slot, row, this.#runner.prefixes!.pool);
  }

  restorePrefix(slot: number, row: number): void {
    this.#runner.snapshots.restore(slot, row, this.#runner.prefixes!.pool);
  }

  fork(from: number, to: number): void {
    this.#runner.snapshots.fork(from, to);
  }

  feed(slot: number, position: number, tokens: readonly number[], settings: RunSettings): Promise<unknown> {
    this.#runner.feed(slot, position, tokens, settings);
    return this.#runner.gpu.device.queue.onSubmittedWorkDone();
  }

  start(
    rows: readonly Pick<BatchRow, "slot" | "settings">[],
    position: number,
    tokens: readonly number[],
  ): DecodeRun[] {
    return this.#runner.prompts(rows, position, tokens);
  }

  step(rows: readonly BatchRow[], steps: number): DecodeRun[] {
    return this.#runner.batch(rows, steps);
  }
}
