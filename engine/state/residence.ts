import { ResonantError } from "../../common/errors.ts";
import { EMPTY_STATE, type SavedState, type SavedStates } from "./saved-states.ts";
import type { StatePool } from "./state-pool.ts";

/** Where a stream's state lies: in a slot, or as a copy. */
export interface Place {
  /** The slot that it lies in; undefined: in none. */
  slot: number | undefined;
  /** Without a slot: its state. */
  saved: SavedState;
}

export const emptyPlace = (): Place => ({ slot: undefined, saved: EMPTY_STATE });

export interface ResidenceOptions {
  /** The maximum number of open streams. */
  readonly streams: number;
  /** Whether a state can be moved out of its slot. */
  readonly portable: boolean;
  /** A slot for single pieces of work: whoever uses it brings the state there and takes it away in one go. */
  readonly scratch: number;
}

/**
 * Who of the open streams has one of the slots, in which states are computed, and where the states of the others are. Moving
 * is copying on the GPU's queue, in the order of the calls.
 */
export class Residence {
  readonly most: number;
  readonly portable: boolean;
  /** Called when a stream that is closed has given its slot back. */
  onRoom: () => void = () => {};
  readonly #pool: StatePool;
  readonly #saved: SavedStates;
  readonly #scratch: number;
  /** Streams in slots that nobody computes: they are moved out when their slots are needed, the first of them first. */
  readonly #idle = new Set<Place>();
  #open = 0;

  constructor(pool: StatePool, saved: SavedStates, { streams, portable, scratch }: ResidenceOptions) {
    this.most = streams;
    this.portable = portable;
    this.#pool = pool;
    this.#saved = saved;
    this.#scratch = scratch;
  }

  /** Open streams. */
  get open(): number {
    return this.#open;
  }

  /** Slots that a stream can be brought into. */
  get room(): number {
    return this.#pool.free + (this.portable ? this.#idle.size : 0);
  }

  /**
   * Opens an empty stream. Where each open stream can have a slot of its own, it has it from the start.
   * @throws ResonantError `out_of_memory` if too many are open
   */
  enter(): Place {
    const { slots } = this.#pool;
    if (this.#open >= this.most) {
      throw new ResonantError("out_of_memory", `${this.#open} streams are open, and no more can be`, {
        fix: (name) =>
          `Close a stream, or load the model with more ${name(this.most > slots ? "streams" : "slots")}`,
      });
    }
    const place = emptyPlace();
    if (this.most <= slots) this.rest(this.#bring(place));
    this.#open++;
    return place;
  }

  /** Closes a stream. */
  leave(place: Place): void {
    this.#open--;
    this.#idle.delete(place);
    this.#saved.give(place.saved);
    place.saved = EMPTY_STATE;
    if (place.slot === undefined) return;
    this.#pool.give(place.slot);
    place.slot = undefined;
    this.onRoom();
  }

  /** Brings a stream into a slot, and keeps it there. Its state must not be on its way to the host. @returns the slot */
  bring(place: Place): number {
    this.#bring(place);
    return place.slot!;
  }

  #bring(place: Place): Place {
    this.#idle.delete(place);
    if (place.slot !== undefined) return place;
    if (this.#pool.free === 0 && this.portable) {
      const [idle] = this.#idle;
      if (idle) this.park(idle);
    }
    const slot = this.#pool.take();
    this.#saved.restore(slot, place.saved);
    this.#saved.give(place.saved);
    place.saved = EMPTY_STATE;
    place.slot = slot;
    return place;
  }

  /** Moves a stream out of its slot. */
  park(place: Place): void {
    const { slot } = place;
    if (slot === undefined) return;
    place.saved = this.#saved.park(slot);
    this.#vacate(place, slot);
  }

  /** Lets others have a stream's slot when they need it. */
  rest(place: Place): void {
    if (place.slot !== undefined) this.#idle.add(place);
  }

  /**
   * Puts a stream back to a copy of its state, and forgets that copy. It must not be on its way to the host.
   * @param replay submits the steps to take again from there, in the slot that it is given
   */
  rewind(place: Place, to: SavedState, replay?: (slot: number) => void): void {
    const saved = this.#saved;
    if (place.slot === undefined) {
      saved.give(place.saved);
      place.saved = EMPTY_STATE;
    }
    if (place.slot === undefined && !replay) {
      saved.parkSnapshot(to);
      place.saved = to;
      return;
    }
    try {
      saved.restore(place.slot ?? this.#scratch, to);
      replay?.(place.slot ?? this.#scratch);
      if (place.slot === undefined) place.saved = saved.park(this.#scratch);
    } finally {
      saved.give(to);
    }
  }

  /**
   * Calls `use` with a slot that holds the stream's state, without giving the stream a slot. What `use` submits before it
   * returns finds the state there. With `keep`, the stream is then what that has made of it.
   */
  async visit<T>(place: Place, use: (slot: number) => T, keep = false): Promise<T> {
    await place.saved.arrival;
    return this.visitNow(place, use, keep);
  }

  /** {@link visit}, of a state that is not on its way to the host. */
  visitNow<T>(place: Place, use: (slot: number) => T, keep = false): T {
    if (place.slot !== undefined) return use(place.slot);
    if (!this.portable) return use(this.bring(place));
    this.#saved.restore(this.#scratch, place.saved);
    const made = use(this.#scratch);
    if (keep) {
      this.#saved.give(place.saved);
      place.saved = this.#saved.park(this.#scratch);
    }
    return made;
  }

  /** Makes the empty stream `to` a copy of `from`. */
  fork(from: Place, to: Place): void {
    if (from.slot !== undefined && to.slot !== undefined) this.#saved.fork(from.slot, to.slot);
    else if (from.slot !== undefined || from.saved.row !== undefined)
      to.saved = this.visitNow(from, (slot) => this.#saved.park(slot));
    else if (from.saved !== EMPTY_STATE) to.saved = this.#saved.share(from.saved);
  }

  /** The recurrent state of a stream, and how often it was fed each token. */
  async read(place: Place): Promise<{ state: Float32Array; counts: Uint32Array }> {
    return place.slot === undefined ? this.#saved.read(place.saved) : this.#pool.read(place.slot);
  }

  /** Replaces the state of a stream. */
  write(place: Place, state: Float32Array<ArrayBuffer>, counts: Uint32Array, pending: number): void {
    const imported = this.#saved.import(state, counts, pending);
    if (place.slot === undefined) {
      this.#saved.give(place.saved);
      place.saved = imported;
    } else {
      this.#saved.restore(place.slot, imported);
      this.#saved.give(imported);
    }
  }

  #vacate(place: Place, slot: number): void {
    this.#idle.delete(place);
    this.#pool.give(slot);
    place.slot = undefined;
  }
}
