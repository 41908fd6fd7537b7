import { LatticeCells } from "../../engine/diagnostics/lattice-cells.ts";
import type { History } from "./history.ts";

/** Time constant with which a scale shrinks, in ms. */
const FALL = 700;
const [SHORTEST, LONGEST] = [16, 400];

/**
 * The oscillators as shown: interpolated linearly from the previous state to the newest, over the recent time between
 * states. At rest they equal the measured state.
 */
export class Glide {
  readonly #history: History;
  readonly #lattice: LatticeCells | undefined;
  readonly vector: Way | undefined;
  readonly cells: Way | undefined;
  #target: Float32Array | undefined;
  #began = 0;
  #arrived = 0;
  #interval = 100;
  #last = 0;
  #resting = true;

  constructor(history: History) {
    const { layers, size, vectorRow, latticeRow, grid } = history.shape;
    this.#history = history;
    if (vectorRow !== null) this.vector = new Way(layers, size);
    if (latticeRow !== null && grid) {
      this.cells = new Way(layers, size);
      this.#lattice = new LatticeCells(grid);
    }
  }

  /** Whether the shown state equals the measured one. */
  get resting(): boolean {
    return this.#resting && this.#target === this.#history.state;
  }

  /** Moves to the state at time `now` (ms), or at once to the newest if `still`. Returns whether anything moved. */
  advance(now: number, still: boolean): boolean {
    const { state } = this.#history;
    if (this.resting) return false;
    if (state !== this.#target) this.#aim(state, now);
    const progress = still ? 1 : Math.min(1, (now - this.#began) / Math.min(LONGEST, this.#interval));
    const fall = still ? 1 : 1 - Math.exp(-Math.min(100, now - this.#last) / FALL);
    this.#last = now;
    this.#resting = progress === 1;
    for (const way of [this.vector, this.cells]) {
      if (way && !way.go(progress, fall)) this.#resting = false;
    }
    return true;
  }

  #aim(state: Float32Array | undefined, now: number): void {
    const fresh = this.#target === undefined || state === undefined;
    const apart = Math.min(LONGEST, Math.max(SHORTEST, now - this.#arrived));
    this.#interval += 0.25 * (apart - this.#interval);
    this.#arrived = now;
    this.#began = now;
    this.#target = state;
    this.#resting = false;
    const { layers, size, rows, vectorRow, latticeRow } = this.#history.shape;
    const part = (layer: number, row: number) =>
      state!.subarray((layer * rows + row) * size, (layer * rows + row + 1) * size);
    for (const way of [this.vector, this.cells]) way?.leave();
    for (let layer = 0; layer < layers; layer++) {
      const own = [layer * size, (layer + 1) * size] as const;
      const [m, z] = [this.vector?.to.subarray(...own), this.cells?.to.subarray(...own)];
      if (state === undefined) for (const to of [m, z]) to?.fill(0);
      else {
        if (m) m.set(part(layer, vectorRow!));
        if (z) this.#lattice?.write(part(layer, latticeRow!), z);
      }
    }
    if (fresh) for (const way of [this.vector, this.cells]) way?.jump();
  }
}

/** Complex numbers `[layers, D]`, paired by halves, while they are interpolated. */
export class Way {
  readonly size: number;
  readonly layers: number;
  readonly #from: Float32Array;
  readonly to: Float32Array;
  readonly shown: Float32Array;
  /** The largest modulus shown of each layer; it rises at once and falls slowly. */
  readonly scale: Float32Array;

  constructor(layers: number, size: number) {
    this.layers = layers;
    this.size = size;
    this.#from = new Float32Array(layers * size);
    this.to = new Float32Array(layers * size);
    this.shown = new Float32Array(layers * size);
    this.scale = new Float32Array(layers);
  }

  leave(): void {
    this.#from.set(this.shown);
  }

  jump(): void {
    this.#from.set(this.to);
    this.scale.fill(0);
  }

  /** Returns whether the scales are at rest. @param fall the fraction of the way down that a scale moves */
  go(progress: number, fall: number): boolean {
    const [from, to, shown, size] = [this.#from, this.to, this.shown, this.size];
    const half = Math.floor(size / 2);
    let resting = true;
    for (let layer = 0; layer < this.layers; layer++) {
      let most = 0;
      for (let at = layer * size; at < layer * size + half; at++) {
        const re = from[at]! + (to[at]! - from[at]!) * progress;
        const im = from[at + half]! + (to[at + half]! - from[at + half]!) * progress;
        shown[at] = re;
        shown[at + half] = im;
        most = Math.max(most, re * re + im * im);
      }
      const [modulus, scale] = [Math.sqrt(most), this.scale[layer]!];
      const fallen = scale + (modulus - scale) * fall;
      this.scale[layer] = fallen > 1.01 * modulus ? fallen : modulus;
      if (this.scale[layer] !== Math.fround(modulus)) resting = false;
    }
    if (progress === 1) shown.set(to);
    return resting;
  }
}
