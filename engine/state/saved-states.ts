import { ResonantError } from "../../common/errors.ts";
import type { Gpu } from "../device/gpu.ts";
import { ReadBackPool } from "../device/read-back.ts";
import { type HostState, packCounts, unpackCounts } from "./host-state.ts";
import type { StatePool } from "./state-pool.ts";

/** A copy of a stream's state: in a row on the GPU, on the host, or on its way there. Made by {@link SavedStates}. */
export class SavedState {
  /** The row that it lies in; undefined: in none. */
  row: number | undefined;
  host: HostState | undefined;
  /** Resolves when the copy has come to the host; undefined: it is not on its way. */
  arrival: Promise<void> | undefined;
  /** Whether it is counted with the parked states, and not with the snapshots. */
  parked = false;
}

/** The state of a stream that was fed nothing. It takes no memory. */
export const EMPTY_STATE: SavedState = new SavedState();

/**
 * Copies of streams' states, without their attention caches. *Snapshots*, to go back to, always lie in rows on the GPU, and
 * so many rows are kept for them. *Parked* states, of streams that have no slot, lie in the other rows, and when these are
 * taken, on the host. Copies to the host are ordered as all work is: a row or a slot can be used again at once.
 */
export class SavedStates {
  readonly #gpu: Gpu;
  readonly #streams: StatePool;
  readonly #rows: StatePool;
  readonly #parkedRows: number;
  readonly #staging: ReadBackPool;
  #onGpu = 0;
  #onHost = 0;

  /**
   * @param streams the pool of the streams
   * @param rows the pool of the copies
   * @param parkedRows how many of its rows parked states may take
   */
  constructor(gpu: Gpu, streams: StatePool, rows: StatePool, parkedRows: number, staging: () => GPUBuffer) {
    this.#gpu = gpu;
    this.#streams = streams;
    this.#rows = rows;
    this.#parkedRows = parkedRows;
    this.#staging = new ReadBackPool(gpu, staging);
  }

  /** The number of rows. */
  get slots(): number {
    return this.#rows.slots;
  }

  /** The number of free rows. */
  get free(): number {
    return this.#rows.free;
  }

  /** The parked states in rows, and those on the host or on their way there. */
  get parked(): { readonly onGpu: number; readonly onHost: number } {
    return { onGpu: this.#onGpu, onHost: this.#onHost };
  }

  /** A snapshot of nothing yet, with a row. @throws ResonantError `out_of_memory` if no row is free */
  take(): SavedState {
    const saved = new SavedState();
    saved.row = this.#rows.take();
    return saved;
  }

  /** Forgets a copy. */
  give(saved: SavedState): void {
    if (saved === EMPTY_STATE) return;
    if (saved.row !== undefined) this.#rows.give(saved.row);
    if (saved.parked) {
      if (saved.row === undefined) this.#onHost--;
      else this.#onGpu--;
    }
    saved.row = undefined;
    saved.host = undefined;
    saved.parked = false;
  }

  /** Records a copy of the stream in `slot` to `row`. */
  record(encoder: GPUCommandEncoder, slot: number, row: number): void {
    this.#streams.copy(encoder, slot, this.#rows, row);
  }

  /** Copies the stream in `slot` to a row of `rows`, or to a snapshot's. */
  keep(slot: number, to: SavedState): void;
  keep(slot: number, to: number, rows: StatePool): void;
  keep(slot: number, to: SavedState | number, rows = this.#rows): void {
    const row = typeof to === "number" ? to : to.row!;
    this.#gpu.assertAlive();
    this.#gpu.submit((encoder) => this.#streams.copy(encoder, slot, rows, row));
  }

  /** Copies the stream in `slot` to where parked states lie. */
  park(slot: number): SavedState {
    const saved = new SavedState();
    saved.parked = true;
    this.#gpu.assertAlive();
    if (this.#onGpu < this.#parkedRows) {
      saved.row = this.#rows.take();
      this.#onGpu++;
      this.#gpu.submit((encoder) => this.record(encoder, slot, saved.row!));
    } else {
      this.#onHost++;
      this.#sendToHost(saved, this.#streams, slot);
    }
    return saved;
  }

  /** Counts a snapshot with the parked states from now on; where these have no row left, it goes to the host. */
  parkSnapshot(saved: SavedState): void {
    const { row } = saved;
    if (saved === EMPTY_STATE || saved.parked || row === undefined) return;
    saved.parked = true;
    if (this.#onGpu < this.#parkedRows) {
      this.#onGpu++;
      return;
    }
    this.#onHost++;
    this.#sendToHost(saved, this.#rows, row);
    this.#rows.give(row);
    saved.row = undefined;
  }

  /** A state that comes from elsewhere. It is parked on the host. */
  import(state: Float32Array<ArrayBuffer>, counts: Uint32Array, pending: number): SavedState {
    return this.#onHostNow({ state, counts: packCounts(counts), pending });
  }

  /** A second copy of a state that is on the host, or on its way there. */
  share(saved: SavedState): SavedState {
    const copy = this.#onHostNow(saved.host);
    copy.arrival = saved.arrival?.then(() => {
      copy.arrival = undefined;
      copy.host = saved.host;
    });
    copy.arrival?.catch(() => {});
    return copy;
  }

  #onHostNow(host: HostState | undefined): SavedState {
    const saved = new SavedState();
    saved.parked = true;
    saved.host = host;
    this.#onHost++;
    return saved;
  }

  /** Copies a state to `slot`. It must not be on its way to the host. */
  restore(slot: number, saved: SavedState): void;
  restore(slot: number, row: number, rows: StatePool): void;
  restore(slot: number, from: SavedState | number, rows = this.#rows): void {
    this.#gpu.assertAlive();
    const row = typeof from === "number" ? from : from.row;
    if (row !== undefined) {
      this.#gpu.submit((encoder) => rows.copy(encoder, row, this.#streams, slot));
    } else if (from === EMPTY_STATE) {
      this.#streams.clear(slot);
    } else {
      const { state, counts, pending } = hostOf(from as SavedState);
      this.#streams.write(slot, state, unpackCounts(counts, this.#streams.countBytes / 4), pending);
    }
  }

  /** The state and the counts of a copy. */
  async read(saved: SavedState): Promise<{ state: Float32Array; counts: Uint32Array }> {
    if (saved === EMPTY_STATE) {
      const { stateBytes, countBytes } = this.#streams;
      return { state: new Float32Array(stateBytes / 4), counts: new Uint32Array(countBytes / 4) };
    }
    if (saved.row !== undefined) return this.#rows.read(saved.row);
    await saved.arrival;
    const { state, counts } = hostOf(saved);
    return { state: state.slice(), counts: unpackCounts(counts, this.#streams.countBytes / 4) };
  }

  /** Copies the stream in one slot to another slot, through a row. @throws ResonantError `out_of_memory` if no row is free */
  fork(from: number, to: number): void {
    const row = this.#rows.take();
    this.#gpu.assertAlive();
    this.#gpu.submit((encoder) => {
      this.record(encoder, from, row);
      this.#rows.copy(encoder, row, this.#streams, to);
    });
    this.#rows.give(row);
  }

  #sendToHost(saved: SavedState, pool: StatePool, row: number): void {
    const { stateBytes, countBytes } = pool;
    const staging = this.#staging.take();
    this.#gpu.submit((encoder) => {
      let offset = 0;
      for (const [buffer, bytes] of [
        [pool.state, stateBytes],
        [pool.counts, countBytes],
        [pool.pending, 4],
      ] as const) {
        if (bytes > 0) encoder.copyBufferToBuffer(buffer, row * bytes, staging, offset, bytes);
        offset += bytes;
      }
    });
    const arrival = this.#staging.read(staging, stateBytes + countBytes + 4).then((bytes) => {
      saved.arrival = undefined;
      saved.host = {
        state: new Float32Array(bytes.slice(0, stateBytes)),
        counts: packCounts(new Uint32Array(bytes, stateBytes, countBytes / 4)),
        pending: new Uint32Array(bytes, stateBytes + countBytes, 1)[0]!,
      };
    });
    arrival.catch(() => {}); // whoever needs the state awaits it
    saved.arrival = arrival;
  }
}

function hostOf({ host }: SavedState): HostState {
  if (host) return host;
  throw new ResonantError("device_lost", "a stream's state did not come back from the GPU");
}
