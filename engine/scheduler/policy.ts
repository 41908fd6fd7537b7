import { CHUNK } from "../../kernels/memory-scan/memory-scan.ts";
import { Prefill, type PromptPart, shareKey } from "./prefill.ts";
import type { PrefixCache } from "./prefix-cache.ts";
import { PromptQueue } from "./prompt-queue.ts";
import type { RunInFlight, Sequence } from "./sequence.ts";

/** Milliseconds that a turn should take at most: a newcomer waits for two turns. */
const PATIENCE = 100;

/** What the policy must know of the device. */
export interface PolicyOptions {
  /** Most rows of prompts in one turn. */
  readonly promptRows: number;
  /** Whether a state can be copied, so that sequences with the same prompt need it fed only once. */
  readonly portable: boolean;
  /** Which states after prefixes are kept; undefined: none. */
  readonly prefixes: PrefixCache | undefined;
}

/** Something of a turn to submit. The first sequence of a `prefill` is the one whose state is meant. */
export type Decision =
  /** Start from a kept prefix. */
  | { readonly kind: "reuse"; readonly prefill: Prefill; readonly row: number }
  /** Feed part of a prompt. */
  | ({ readonly kind: "feed"; readonly prefill: Prefill } & PromptPart)
  /** Keep the state as a prefix. */
  | { readonly kind: "keep"; readonly prefill: Prefill; readonly row: number }
  /** Feed a prompt's last part and draw the first token of all its sequences. */
  | ({ readonly kind: "start"; readonly prefill: Prefill } & PromptPart)
  /** Go on where a sequence that leaves had got to with its prompt. */
  | { readonly kind: "inherit"; readonly prefill: Prefill; readonly from: Sequence }
  /** Draw the next tokens of sequences, all in one run. */
  | { readonly kind: "step"; readonly sequences: readonly Sequence[]; readonly steps: number };

/** How much a turn did. */
export interface TurnSize {
  /** Tokens of prompts fed. */
  readonly rows: number;
  readonly steps: number;
}

/**
 * Decides whose prompts are fed and who steps, how much of it in a turn, and who is left out. It knows sequences and
 * measured times only: no device, no clock, no promise. Deciding a turn takes time that grows with the sequences that the
 * turn serves, and with the logarithm of those that wait.
 */
export class Policy {
  readonly #options: PolicyOptions;
  readonly #queue = new PromptQueue<Prefill>();
  /** For each sequence whose prompt is not yet fed to its end, that prompt. */
  readonly #prefills = new Map<Sequence, Prefill>();
  /** Sequences whose prompts are fed. */
  readonly #decoding = new Set<Sequence>();
  /** Decoding sequences that the next run takes. */
  readonly #ready = new Set<Sequence>();
  /** Decoding sequences that the next run could take if their readers had read more. */
  readonly #unread = new Set<Sequence>();
  /** Rows of prompts that a turn feeds. */
  #rows = CHUNK;
  /** How long a step took. */
  #stepMilliseconds = 0;

  constructor(options: PolicyOptions) {
    this.#options = options;
  }

  /** Sequences that wait with a prompt, or decode. */
  get size(): number {
    return this.#prefills.size + this.#decoding.size;
  }

  /** Whether the next turn should wait, because a reader is about to make its sequence ready for it. */
  get waitsForReaders(): boolean {
    return this.#unread.size > 0;
  }

  /** Queues a sequence's prompt. If its client already waits with the same prompt, that one is fed for both. */
  join(sequence: Sequence): void {
    const key = this.#options.portable ? shareKey(sequence) : undefined;
    const alike = key === undefined ? undefined : this.#queue.find(sequence.options.client, key);
    const shared = alike?.isOf(sequence.prompt) ? alike : undefined;
    const prefill = shared ?? new Prefill(sequence, alike ? undefined : key, this.#options.prefixes);
    this.#prefills.set(sequence, prefill);
    if (shared) shared.sequences.add(sequence);
    else this.#queue.add(prefill);
  }

  /**
   * Forgets a sequence.
   * @returns where another sequence takes its place in a prompt: what to submit, before the leaving one's state changes
   */
  leave(sequence: Sequence): Decision | undefined {
    const prefill = this.#prefills.get(sequence);
    const led = prefill?.first === sequence;
    this.#forget(sequence);
    if (!prefill?.first || !led) return undefined;
    prefill.inherit();
    this.#queue.delete(prefill); // the other takes its turn as one that has just come
    this.#queue.add(prefill);
    return prefill.left < prefill.tokens.length ? { kind: "inherit", prefill, from: sequence } : undefined;
  }

  /** Forgets the sequences of a decision that could not be submitted. */
  drop(decision: Decision): readonly Sequence[] {
    const sequences = decision.kind === "step" ? decision.sequences : [...decision.prefill.sequences];
    for (const sequence of sequences) this.#forget(sequence);
    return sequences;
  }

  /**
   * The decisions of a turn, one at a time: each is made when the one before has been submitted, or dropped. First prompts
   * are fed, one client's after another's, as far as the turn's rows go. Then all sequences that are ready step together.
   */
  *turn(): Generator<Decision, void, void> {
    yield* this.#feedPrompts();
    yield* this.#step();
  }

  *#feedPrompts(): Generator<Decision, void, void> {
    let room = this.#rows;
    while (room > 0) {
      const prefill = this.#queue.next();
      if (!prefill) return;
      const reused = prefill.reuse();
      this.#queue.changed(prefill);
      if (reused !== undefined) yield { kind: "reuse", prefill, row: reused };
      if (!prefill.first) continue; // dropped
      const part = prefill.next(room);
      const rows = part.tokens.length;
      if (rows === 0) return;
      this.#queue.rotate();
      yield { kind: rows === prefill.left ? "start" : "feed", prefill, ...part };
      if (!prefill.first) continue;
      room -= rows;
      prefill.advance(rows);
      if (prefill.left === 0) {
        this.#started(prefill);
        continue;
      }
      this.#queue.changed(prefill);
      const kept = prefill.keep();
      if (kept !== undefined) yield { kind: "keep", prefill, row: kept };
    }
  }

  /** A run of all that are ready: one step while prompts wait, else more and more steps as long as nobody joins. */
  *#step(): Generator<Decision, void, void> {
    if (this.#ready.size === 0) return;
    const sequences = [...this.#ready].sort((a, b) => a.slot - b.slot); // neighbours are copied together
    let steps = this.#queue.waiting ? 1 : Math.max(1, Math.floor(PATIENCE / this.#stepMilliseconds));
    for (const { mostSteps } of sequences) steps = Math.min(steps, mostSteps);
    yield { kind: "step", sequences, steps };
    for (const sequence of sequences) this.#classify(sequence);
  }

  /** Learns from a turn how much work takes {@link PATIENCE}, so that the next turns do as much. */
  measure({ rows, steps }: TurnSize, milliseconds: number): void {
    if (steps > 0 && rows === 0) this.#stepMilliseconds = milliseconds / steps;
    if (rows === 0 || (rows < this.#rows && milliseconds < PATIENCE)) return;
    const next = Math.min(2 * this.#rows, this.#options.promptRows, (rows * PATIENCE) / milliseconds);
    this.#rows = Math.max(CHUNK, Math.floor(next / CHUNK) * CHUNK);
  }

  /** A reader has been given all of its oldest run. */
  finishRun(sequence: Sequence): RunInFlight | undefined {
    const run = sequence.finishRun();
    this.#classify(sequence);
    return run;
  }

  /** Sequences that the next turn waits for, and the runs of theirs that have come and are to be read. */
  unread(): readonly (readonly [Sequence, RunInFlight])[] {
    return [...this.#unread].flatMap((sequence) => {
      const [run] = sequence.runs;
      return run?.arrived ? [[sequence, run] as const] : [];
    });
  }

  /** Leaves a sequence out of the turns until its reader has read a run, if it has not yet. */
  stall(sequence: Sequence, run: RunInFlight): void {
    if (sequence.runs[0] !== run) return;
    sequence.stalled = true;
    this.#classify(sequence);
  }

  /** A prompt is fed, and its sequences decode. */
  #started(prefill: Prefill): void {
    this.#queue.delete(prefill);
    for (const sequence of prefill.sequences) {
      this.#prefills.delete(sequence);
      this.#decoding.add(sequence);
      this.#classify(sequence);
    }
  }

  /** Puts a sequence among those that are ready, unread, or neither. */
  #classify(sequence: Sequence): void {
    const decodes = this.#decoding.has(sequence);
    const { due, ready } = sequence;
    toggle(this.#ready, sequence, decodes && ready);
    toggle(this.#unread, sequence, decodes && due && !ready);
  }

  #forget(sequence: Sequence): void {
    this.#decoding.delete(sequence);
    this.#classify(sequence);
    const prefill = this.#prefills.get(sequence);
    if (!prefill) return;
    this.#prefills.delete(sequence);
    prefill.sequences.delete(sequence);
    if (!prefill.first) this.#queue.delete(prefill);
  }
}

/** Has an item in a set, or not. */
function toggle<T>(items: Set<T>, item: T, has: boolean): void {
  if (has) items.add(item);
  else items.delete(item);
}
