import { FairShares } from "./fair-shares.ts";
import type { Sequence } from "./sequence.ts";

/**
 * Tokens that a sequence has drawn when it gives its slot to another that waits: a few runs, so that moving states is little
 * beside computing them.
 */
export const QUANTUM = 32;
/** The same while its prompt is fed, which takes less time a token. */
export const PROMPT_QUANTUM = 2048;

/** What the rotation must know of the device. */
export interface RotationOptions {
  readonly slots: number;
  /** Whether a state can be moved out of its slot. Where it cannot, a sequence keeps its slot to its end. */
  readonly portable: boolean;
  /** Slots of nobody who is in the rotation. */
  readonly room: () => number;
}

/** Sequences that lose their slots, and sequences that get one. */
export interface Move {
  readonly park: readonly Sequence[];
  readonly place: readonly Sequence[];
}

const NO_MOVE: Move = { park: [], place: [] };

/**
 * Which sequences have slots. As long as there is a slot for each, each keeps its own. Otherwise they take turns, as
 * {@link FairShares} says: who has used up its quantum, or wants nothing now, gives its slot to the next that waits. For newcomers up to half
 * of the slots are given up before. Under attention, where a sequence keeps its slot, no client has so many that two
 * clients could have all. A turn takes time that grows with the slots, and with the logarithm of those that wait.
 */
export class Rotation {
  readonly #options: RotationOptions;
  readonly #shares: FairShares<Sequence>;
  /** Sequences with a slot, and the tokens computed since each got it. */
  readonly #residents = new Map<Sequence, number>();
  /** In the order they came. */
  readonly #waiting = new Set<Sequence>();
  #contended = false;

  constructor(options: RotationOptions) {
    const { slots, portable } = options;
    this.#options = options;
    const most = Math.max(1, Math.floor((slots - 1) / 2));
    this.#shares = new FairShares(
      ({ options }) => options,
      (client) => (portable || client === undefined ? Number.POSITIVE_INFINITY : most),
    );
  }

  get residents(): number {
    return this.#residents.size;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Clients that are served, or that owe others something. */
  get clients(): number {
    return this.#shares.clients;
  }

  /** Whether somebody waits who has got no slot. */
  get contended(): boolean {
    return this.#contended;
  }

  /** Tokens that a client has used since somebody had to wait. */
  used(client: unknown): number {
    return this.#shares.used(client);
  }

  /** Takes note of whether a sequence wants to be computed; a new one joins. */
  want(sequence: Sequence, wants: boolean): void {
    if (this.#residents.has(sequence)) {
      this.#shares.set(sequence, wants ? "computed" : "rests");
      return;
    }
    this.#shares.set(sequence, wants ? "waits" : "rests");
    if (wants) this.#waiting.add(sequence);
    else this.#waiting.delete(sequence);
  }

  leave(sequence: Sequence): void {
    if (this.#residents.delete(sequence) && !this.#options.portable) this.#shares.hold(sequence, false);
    this.#waiting.delete(sequence);
    this.#shares.delete(sequence);
  }

  /** A new sequence whose state is in a slot already, and cannot be anywhere else. */
  stay(sequence: Sequence): void {
    this.#shares.set(sequence, "waits");
    this.#shares.take(sequence);
    this.#shares.hold(sequence, true);
    this.#residents.set(sequence, 0);
  }

  /** Takes note of tokens that are computed for a sequence. */
  charge(sequence: Sequence, tokens: number): void {
    const before = this.#residents.get(sequence);
    if (before !== undefined) this.#residents.set(sequence, before + tokens);
    if (this.#contended) this.#shares.charge(sequence, tokens);
  }

  /** Takes note of other work that is done for a client. */
  chargeClient(client: unknown, tokens: number): void {
    if (this.#contended) this.#shares.chargeClient(client, tokens);
  }

  /** Sequences with slots that want nothing now. */
  *resting(): Generator<Sequence, void, void> {
    for (const sequence of this.#residents.keys()) if (!sequence.wants) yield sequence;
  }

  /** Decides who moves now. */
  turn(): Move {
    if (this.#waiting.size === 0) return this.#settle(NO_MOVE);
    const { portable } = this.#options;
    const room = Math.max(0, this.#options.room());
    if (portable && room >= this.#waiting.size) {
      const place = [...this.#waiting];
      for (const sequence of place) this.#shares.take(sequence);
      return this.#settle(this.#seat({ park: [], place }));
    }
    if (!portable) return this.#settle(this.#seat({ park: [], place: this.#pick(room) }));
    return this.#settle(this.#exchange(room));
  }

  #exchange(room: number): Move {
    const resting = [...this.resting()];
    const spent = this.#spent(room + resting.length);
    for (const sequence of spent) this.#shares.set(sequence, "waits");
    const picked = new Set(this.#pick(room + resting.length + spent.length));
    const place = [...picked].filter((sequence) => !this.#residents.has(sequence));
    const going = [...resting, ...spent.filter((sequence) => !picked.has(sequence))];
    const park = going.slice(0, Math.max(0, place.length - room));
    for (const sequence of going.slice(park.length)) if (sequence.wants) this.#shares.take(sequence);
    for (const sequence of picked) if (this.#residents.has(sequence)) this.#residents.set(sequence, 0);
    return this.#seat({ park, place });
  }

  /** Residents that give up their slots to those that wait. @param others slots that are to be had without */
  #spent(others: number): Sequence[] {
    const spent: Sequence[] = [];
    const more: [tokens: number, sequence: Sequence][] = [];
    for (const [sequence, tokens] of this.#residents) {
      if (!sequence.wants) continue;
      if (tokens >= (sequence.started ? QUANTUM : PROMPT_QUANTUM)) spent.push(sequence);
      else more.push([tokens, sequence]);
    }
    const newcomers = Math.min(this.#shares.newcomers, Math.ceil(this.#options.slots / 2));
    const missing = newcomers - others - spent.length;
    if (missing <= 0) return spent;
    const most = more.filter(([tokens]) => tokens > 0).sort(([a], [b]) => b - a);
    return [...spent, ...most.slice(0, missing).map(([, sequence]) => sequence)];
  }

  #pick(most: number): Sequence[] {
    const picked: Sequence[] = [];
    while (picked.length < most) {
      const sequence = this.#shares.pick(QUANTUM);
      if (!sequence) break;
      picked.push(sequence);
      if (!this.#options.portable) this.#shares.hold(sequence, true);
    }
    return picked;
  }

  #seat(move: Move): Move {
    for (const sequence of move.park) {
      this.#residents.delete(sequence);
      if (sequence.wants) this.#waiting.add(sequence);
    }
    for (const sequence of move.place) {
      this.#waiting.delete(sequence);
      this.#residents.set(sequence, 0);
    }
    return move;
  }

  /** What was used counts for as long as somebody waits. */
  #settle(move: Move): Move {
    const contended = this.#waiting.size > 0;
    if (this.#contended && !contended) this.#shares.reset();
    this.#contended = contended;
    return move;
  }
}
