import type { DecodeRun } from "../runner/decode-run.ts";
import type { Executor } from "./executor.ts";
import type { Decision } from "./policy.ts";
import type { RunInFlight, Sequence } from "./sequence.ts";

/**
 * The one place that submits a sequence's work. Before a run, and before a prompt, it takes a snapshot of the state, so
 * that a reader may leave after any token.
 */
export class Submitter {
  readonly #executor: Executor;

  constructor(executor: Executor) {
    this.#executor = executor;
  }

  /** @returns when the work is done, where there is any to wait for. @throws what kept it from being submitted */
  submit(decision: Decision): Promise<unknown> | undefined {
    const executor = this.#executor;
    if (decision.kind === "step") return this.#step(decision.sequences, decision.steps);
    const first = decision.prefill.first!;
    this.#saveBefore(first);
    switch (decision.kind) {
      case "reuse":
        return void executor.restorePrefix(first.slot, decision.row);
      case "keep":
        return void executor.savePrefix(first.slot, decision.row);
      case "inherit":
        return void executor.fork(decision.from.slot, first.slot);
      case "feed":
        return executor.feed(first.slot, decision.position, decision.tokens, first.options);
      case "start":
        return this.#start(decision);
    }
  }

  /** Gives back a run's snapshot. */
  release({ snapshot }: RunInFlight): void {
    this.#executor.giveSnapshot(snapshot);
  }

  /** Brings a sequence that leaves back to the last token that its reader was given, and gives back its snapshots. */
  rewind(sequence: Sequence): void {
    const { slot, options } = sequence;
    const [oldest] = sequence.runs;
    if (oldest && sequence.read === oldest.steps) {
      sequence.finishRun();
      this.release(oldest);
    }
    const { read } = sequence;
    const [first] = sequence.runs;
    const before = first?.snapshot ?? sequence.before;
    try {
      if (before === undefined) return;
      this.#executor.restoreSnapshot(slot, before);
      if (!first || read === 0) return;
      const settings = { ...options, trace: false };
      this.#executor.step([{ slot, position: first.position, settings }], read);
    } finally {
      for (const run of sequence.runs) this.release(run);
      if (sequence.before !== undefined) this.#executor.giveSnapshot(sequence.before);
    }
  }

  #saveBefore(sequence: Sequence): void {
    if (sequence.before !== undefined) return;
    sequence.before = this.#executor.takeSnapshot();
    this.#executor.saveSnapshot(sequence.slot, sequence.before);
  }

  #start({ prefill, position, tokens }: Extract<Decision, { kind: "start" }>): Promise<unknown> {
    const sequences = [...prefill.sequences];
    for (const sequence of sequences) this.#saveBefore(sequence);
    const rows = sequences.map(({ slot, options }) => ({ slot, settings: options }));
    const runs = this.#executor.start(rows, position, tokens);
    sequences.forEach((sequence, i) => {
      sequence.submitted(runs[i]!, sequence.before!);
      sequence.before = undefined;
      sequence.options.onReuse?.(i === 0 ? prefill.reused : prefill.tokens.length);
    });
    return arrivalOf(runs);
  }

  #step(sequences: readonly Sequence[], steps: number): Promise<unknown> {
    const snapshots: number[] = [];
    try {
      for (const _ of sequences) snapshots.push(this.#executor.takeSnapshot());
      const rows = sequences.map(({ slot, position, options }, i) => ({
        slot,
        position,
        settings: options,
        snapshot: snapshots[i]!,
      }));
      const runs = this.#executor.step(rows, steps);
      sequences.forEach((sequence, i) => {
        sequence.submitted(runs[i]!, snapshots[i]!);
      });
      return arrivalOf(runs);
    } catch (error) {
      for (const snapshot of snapshots) this.#executor.giveSnapshot(snapshot);
      throw error;
    }
  }
}

/** When all of the runs have come, or failed. */
const arrivalOf = (runs: readonly DecodeRun[]): Promise<unknown> =>
  Promise.allSettled(runs.map(({ results }) => results));
