import type { DecodeRun } from "../runner/decode-run.ts";
import { EMPTY_STATE, type SavedState } from "../state/saved-states.ts";
import type { Executor } from "./executor.ts";
import type { Decision } from "./policy.ts";
import type { Sequence } from "./sequence.ts";

/** What a decision asks of the device; other work is not the device's alone. */
export type DeviceDecision = Exclude<Decision, { readonly kind: "task" }>;

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
  submit(decision: DeviceDecision): Promise<unknown> | undefined {
    const executor = this.#executor;
    if (decision.kind === "step") return this.#step(decision.sequences, decision.steps);
    if (decision.kind === "move") return void this.#move(decision.park, decision.place);
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

  /** Gives back states that are needed no more. */
  release(states: readonly SavedState[]): void {
    for (const saved of states) this.#executor.giveSnapshot(saved);
  }

  /**
   * Brings a sequence that leaves back to the last token that its reader was given, and gives back its snapshots.
   * @returns when that is submitted, if it could not be at once
   */
  rewind(sequence: Sequence): Promise<void> | undefined {
    const [oldest] = sequence.runs;
    if (oldest && sequence.read === oldest.steps) this.release(sequence.finishRun() ?? []);
    const { origin, options } = sequence;
    this.release(sequence.kept.filter((saved) => saved !== origin?.saved));
    const { place } = sequence.cursor;
    const rewind = (): void => {
      if (origin) {
        const { saved, position, steps } = origin;
        const replay = { position, steps, settings: { ...options, trace: false } };
        this.#executor.rewind(place, saved, steps > 0 ? replay : undefined);
      }
      this.#executor.rest(place);
    };
    const arrival = origin?.saved.arrival ?? (origin && place.saved.arrival);
    if (arrival) return arrival.then(rewind);
    return void rewind();
  }

  #move(park: readonly Sequence[], place: readonly Sequence[]): void {
    for (const sequence of park) {
      this.release(sequence.keepFew());
      for (const saved of sequence.kept) this.#executor.parkSnapshot(saved);
      this.#executor.park(sequence.cursor.place);
    }
    for (const sequence of place) this.#executor.place(sequence.cursor.place);
  }

  #saveBefore(sequence: Sequence): void {
    if (sequence.before !== undefined) return;
    if (sequence.empty) {
      sequence.before = EMPTY_STATE;
      return;
    }
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
    const snapshots: (SavedState | undefined)[] = [];
    try {
      for (const sequence of sequences) {
        if (sequence.hurried) for (const saved of sequence.kept) this.#executor.parkSnapshot(saved);
        snapshots.push(sequence.needsSnapshot ? this.#executor.takeSnapshot() : undefined);
      }
      const rows = sequences.map(({ slot, position, options }, i) => ({
        slot,
        position,
        settings: options,
        snapshot: snapshots[i]?.row,
      }));
      const runs = this.#executor.step(rows, steps);
      sequences.forEach((sequence, i) => {
        sequence.submitted(runs[i]!, snapshots[i]);
      });
      return arrivalOf(runs);
    } catch (error) {
      this.release(snapshots.filter((saved) => saved !== undefined));
      throw error;
    }
  }
}

/** When all of the runs have come, or failed. */
const arrivalOf = (runs: readonly DecodeRun[]): Promise<unknown> =>
  Promise.allSettled(runs.map(({ results }) => results));
