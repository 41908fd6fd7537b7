import type { BatchRow, DecodeRun, RunSettings } from "../runner/decode-run.ts";
import type { Runner } from "../runner/runner.ts";
import type { Executor } from "./executor.ts";

/** The scheduler's device, as a model's runner is one. */
export class RunnerExecutor implements Executor {
  readonly #runner: Runner;

  constructor(runner: Runner) {
    this.#runner = runner;
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

  takeSnapshot(): number {
    return this.#runner.snapshots.take();
  }

  giveSnapshot(row: number): void {
    this.#runner.snapshots.give(row);
  }

  saveSnapshot(slot: number, row: number): void {
    this.#runner.snapshots.keep(slot, row);
  }

  restoreSnapshot(slot: number, row: number): void {
    this.#runner.snapshots.restore(slot, row);
  }

  savePrefix(slot: number, row: number): void {
    this.#runner.snapshots.keep(slot, row, this.#runner.prefixes?.pool);
  }

  restorePrefix(slot: number, row: number): void {
    this.#runner.snapshots.restore(slot, row, this.#runner.prefixes?.pool);
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
