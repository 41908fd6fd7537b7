import { CHUNK } from "../../kernels/memory-scan/memory-scan.ts";
import type { SavedState } from "../state/saved-states.ts";
import { Prefill, type PromptPart, shareKey } from "./prefill.ts";
import type { PrefixCache } from "./prefix-cache.ts";
import { PromptQueue } from "./prompt-queue.ts";
import { Rotation, type RotationOptions } from "./rotation.ts";
import type { RunInFlight, Sequence } from "./sequence.ts";
import type { Piece, Tasks } from "./task.ts";

/** Milliseconds that a turn should take at most: a newcomer waits for two turns. */
const PATIENCE = 100;

/** What the policy must know of the device. */
export interface PolicyOptions extends RotationOptions {
  /** Most rows of prompts in one turn. */
  readonly promptRows: number;
  /** Which states after prefixes are kept; undefined: none. */
  readonly prefixes: PrefixCache | undefined;
  /** Other work, of which a turn does one piece. */
  readonly tasks: Tasks;
}

/** Something of a turn to submit. The first sequence of a `prefill` is the one whose state is meant. */
export type Decision =
  /** Take slots from some sequences, and give them to others. */
  | { readonly kind: "move"; readonly park: readonly Sequence[]; readonly place: readonly Sequence[] }
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
  | { readonly kind: "step"; readonly sequences: readonly Sequence[]; readonly steps: number }
  /** Do a piece of a task. */
  | { readonly kind: "task"; readonly piece: Piece };

/** How much a turn did. */
export interface TurnSize {
  /** Tokens of prompts fed. */
  readonly rows: number;
  readonly steps: number;
  /** The piece of a task. */
  readonly piece?: Piece | undefined;
}

/** Tokens computed so far. */
export interface TokenCounts {
  /** Of prompts. */
  fed: number;
  drawn: number;
  /** Of tasks. */
  searched: number;
}

/**
 * Decides who has a slot, whose prompts are fed and who steps, how much of it in a turn, and who is left out. It knows
 * sequences and measured times only: no device, no clock, no promise. Deciding a turn takes time that grows with the
 * sequences that have slots, and with the logarithm of those that wait.
 */
export class Policy {
  readonly tokens: TokenCounts = { fed: 0, drawn: 0, searched: 0 };
  readonly #options: PolicyOptions;
  readonly #rotation: Rotation;
  /** Prompts of sequences with slots. */
  readonly #queue = new PromptQueue<Prefill>();
  /** For each sequence whose prompt has been begun and is not yet fed to its end, that prompt. */
  readonly #prefills = new Map<Sequence, Prefill>();
  readonly #sequences = new Set<Sequence>();
  /** Sequences that the next run takes. */
  readonly #ready = new Set<Sequence>();
  /** Sequences that the next run could take if their readers had read more. */
  readonly #unread = new Set<Sequence>();
  #moves = 0;
  /** Rows of prompts that a turn feeds. */
  #rows = CHUNK;
  /** How long a step took. */
  #stepMilliseconds = 0;

  constructor(options: PolicyOptions) {
    this.#options = options;
    this.#rotation = new Rotation(options);
  }

  /** Sequences that wait with a prompt, or decode. */
  get size(): number {
    return this.#sequences.size;
  }

  /** Sequences that have slots. */
  get residents(): number {
    return this.#rotation.residents;
  }

  /** Sequences that wait for a slot. */
  get waiting(): number {
    return this.#rotation.waiting;
  }

  get clients(): number {
    return this.#rotation.clients;
  }

  /** Sequences that had to give up a slot so far. */
  get moves(): number {
    return this.#moves;
  }

  /** Whether the next turn should wait, because a reader is about to make its sequence ready for it. */
  get waitsForReaders(): boolean {
    return this.#unread.size > 0;
  }

  /** A sequence comes. It waits for a slot, with its prompt. */
  join(sequence: Sequence): void {
    this.#sequences.add(sequence);
    if (!this.#options.portable && sequence.cursor.place.slot !== undefined) {
      this.#rotation.stay(sequence);
      this.#seat(sequence);
    } else {
      this.#classify(sequence);
    }
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
  drop(decision: Exclude<Decision, { kind: "task" }>): readonly Sequence[] {
    const sequences = sequencesOf(decision);
    for (const sequence of sequences) this.#forget(sequence);
    return sequences;
  }

  /**
   * The decisions of a turn, one at a time: each is made when the one before has been submitted, or dropped. First slots
   * change hands, if they have to. Then prompts are fed, one client's after another's, as far as the turn's rows go. Then
   * all sequences that are ready step together, and a piece of a task is done.
   */
  *turn(): Generator<Decision, void, void> {
    yield* this.#move();
    yield* this.#feedPrompts();
    yield* this.#step();
    const piece = this.#options.tasks.take();
    if (!piece) return;
    this.tokens.searched += piece.tokens;
    this.#rotation.chargeClient(piece.task.client, piece.tokens);
    yield { kind: "task", piece };
  }

  *#move(): Generator<Decision, void, void> {
    const before = this.#rotation.contended;
    const { park, place } = this.#rotation.turn();
    if (before && !this.#rotation.contended) this.#queue.forgive();
    if (park.length + place.length > 0) {
      this.#moves += park.length;
      for (const sequence of park) this.#unseat(sequence);
      for (const sequence of place) this.#seat(sequence);
      yield { kind: "move", park, place };
    }
    if (this.#options.portable || !this.#rotation.contended) return;
    // Its slot is wanted and cannot be given away, so it comes to its end, whether it is read or not.
    for (const sequence of [...this.#rotation.resting()]) {
      if (!sequence.stalled) continue;
      sequence.hurried = true;
      this.#classify(sequence);
    }
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
      this.tokens.fed += rows;
      this.#charge(prefill.first, rows);
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
    for (const sequence of sequences) {
      if (!this.#sequences.has(sequence)) continue; // dropped
      this.#drawn(sequence, steps);
      this.#classify(sequence);
    }
  }

  /** Learns from a turn how much work takes {@link PATIENCE}, so that the next turns do as much. */
  measure({ rows, steps, piece }: TurnSize, milliseconds: number): void {
    if (piece) {
      if (rows === 0)
        piece.task.measure(piece.tokens, Math.max(1, milliseconds - steps * this.#stepMilliseconds));
      return;
    }
    if (steps > 0 && rows === 0) this.#stepMilliseconds = milliseconds / steps;
    if (rows === 0 || (rows < this.#rows && milliseconds < PATIENCE)) return;
    const next = Math.min(2 * this.#rows, this.#options.promptRows, (rows * PATIENCE) / milliseconds);
    this.#rows = Math.max(CHUNK, Math.floor(next / CHUNK) * CHUNK);
  }

  /** A reader has been given all of its oldest run. @returns the states that are needed no more; undefined: there was no run */
  finishRun(sequence: Sequence): readonly SavedState[] | undefined {
    const useless = sequence.finishRun();
    this.#classify(sequence);
    return useless;
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

  /** The state of a sequence of the policy's that gave up its slot is on its way to the host, or has come there. */
  travels(sequence: Sequence, away: boolean): void {
    sequence.away = away;
    this.#classify(sequence);
  }

  /** A sequence has got a slot. If a client's sequence with a slot waits with the same prompt, that one is fed for both. */
  #seat(sequence: Sequence): void {
    sequence.seated = true;
    if (!sequence.started) {
      const begun = this.#prefills.get(sequence);
      if (begun) this.#queue.add(begun);
      else this.#begin(sequence);
      this.#queue.used(sequence.options.client, this.#rotation.used(sequence.options.client));
    }
    this.#classify(sequence);
  }

  #begin(sequence: Sequence): void {
    const key = this.#options.portable ? shareKey(sequence) : undefined;
    const alike = key === undefined ? undefined : this.#queue.find(sequence.options.client, key);
    const shared = alike?.isOf(sequence.prompt) ? alike : undefined;
    const prefill = shared ?? new Prefill(sequence, alike ? undefined : key, this.#options.prefixes);
    this.#prefills.set(sequence, prefill);
    if (shared) shared.sequences.add(sequence);
    else this.#queue.add(prefill);
  }

  /** A sequence has lost its slot. Those that waited for its prompt go on without it. */
  #unseat(sequence: Sequence): void {
    sequence.seated = false;
    const prefill = this.#prefills.get(sequence);
    if (prefill?.first === sequence) {
      this.#queue.delete(prefill);
      const others = [...prefill.sequences].slice(1);
      for (const other of others) {
        prefill.sequences.delete(other);
        this.#prefills.delete(other);
      }
      for (const other of others) if (other.seated) this.#begin(other);
    } else if (prefill) {
      prefill.sequences.delete(sequence);
      this.#prefills.delete(sequence);
    }
    this.#classify(sequence);
  }

  /** A prompt is fed, and its sequences decode. */
  #started(prefill: Prefill): void {
    this.#queue.delete(prefill);
    for (const sequence of prefill.sequences) {
      this.#prefills.delete(sequence);
      this.#drawn(sequence, 1);
      this.#classify(sequence);
    }
  }

  #drawn(sequence: Sequence, tokens: number): void {
    this.tokens.drawn += tokens;
    this.#charge(sequence, tokens);
  }

  #charge(sequence: Sequence, tokens: number): void {
    this.#rotation.charge(sequence, tokens);
    const { client } = sequence.options;
    if (this.#rotation.contended) this.#queue.used(client, this.#rotation.used(client));
  }

  /** Puts a sequence among those that are ready, unread, or neither, and among those that want a slot. */
  #classify(sequence: Sequence): void {
    const here = this.#sequences.has(sequence);
    const { seated, started, due, ready } = sequence;
    toggle(this.#ready, sequence, here && seated && started && ready);
    toggle(this.#unread, sequence, here && seated && started && due && !ready);
    if (here) this.#rotation.want(sequence, sequence.wants);
    else this.#rotation.leave(sequence);
  }

  #forget(sequence: Sequence): void {
    this.#sequences.delete(sequence);
    this.#classify(sequence);
    const prefill = this.#prefills.get(sequence);
    if (!prefill) return;
    this.#prefills.delete(sequence);
    prefill.sequences.delete(sequence);
    if (!prefill.first) this.#queue.delete(prefill);
  }
}

function sequencesOf(decision: Exclude<Decision, { kind: "task" }>): readonly Sequence[] {
  if (decision.kind === "step") return decision.sequences;
  if (decision.kind === "move") return [...decision.park, ...decision.place];
  return [...decision.prefill.sequences];
}

/** Has an item in a set, or not. */
function toggle<T>(items: Set<T>, item: T, has: boolean): void {
  if (has) items.add(item);
  else items.delete(item);
}
