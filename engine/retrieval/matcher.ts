import { Background } from "./background.ts";
import { type Decay, LatticeWindow, type MemoryWindow, signature, VectorWindow } from "./memory-window.ts";
import { type Peak, Peaks } from "./peaks.ts";

/** Which memory compares: the vector memory, the lattice, or the mean of the two. */
export type RetrievalMode = "pvm" | "plm" | "hybrid";

/** Below this f64's rounding decides: two windows of equal tokens shall score the same, and 1 against each other. */
const STEP = 1e-9;

/**
 * Compares every window of a context with one cue: tokens go in, peaks come out. It keeps the last k features and a
 * windowed state for each memory, whatever the context's length.
 */
export class Matcher {
  readonly #length: number;
  readonly #windows: readonly MemoryWindow[];
  /** Of the cue, run through each memory from zero. */
  readonly #signatures: readonly Float64Array[];
  /** The last k features. */
  readonly #ring: Float32Array[];
  readonly #background = new Background();
  readonly #peaks: Peaks;
  #seen = 0;

  /**
   * @param cue the features of its k ≥ 1 tokens, `[D]` each
   * @param capacity the most peaks kept
   */
  constructor(decay: Decay, mode: RetrievalMode, cue: readonly Float32Array[], capacity: number) {
    const k = cue.length;
    const windows = (): MemoryWindow[] => [
      ...(mode === "plm" ? [] : [new VectorWindow(decay.pvm, k)]),
      ...(mode === "pvm" || !decay.plm ? [] : [new LatticeWindow(decay.plm, k)]),
    ];
    const nothing = new Float32Array(cue[0]?.length ?? 0);
    this.#length = k;
    this.#windows = windows();
    this.#signatures = windows().map((window) => signature(window, cue));
    this.#ring = cue.map(() => nothing);
    this.#peaks = new Peaks(capacity);
  }

  /** Numbers it keeps now: features, states, statistics, peaks. */
  get numbers(): number {
    const vectors = [...this.#ring, ...this.#signatures, ...this.#windows.map(({ state }) => state)];
    const floats = vectors.reduce((sum, vector) => sum + vector.length, 0);
    return floats + this.#background.numbers + this.#peaks.numbers;
  }

  /** Takes the next token's feature `[D]`. */
  push(u: Float32Array): void {
    const k = this.#length;
    const slot = this.#seen++ % k;
    const leaving = this.#ring[slot]!;
    this.#ring[slot] = u;
    for (const window of this.#windows) window.advance(u, leaving);
    if (this.#seen >= k) this.#compare(k);
  }

  /** Best first. A context shorter than the cue is one window. */
  finish(): readonly Peak[] {
    if (this.#seen > 0 && this.#seen < this.#length) this.#compare(this.#seen);
    this.#peaks.finish();
    return this.#peaks.best;
  }

  /** How far a similarity stands out of this context's background: see {@link Background}. */
  confidence(similarity: number): number {
    return this.#background.confidence(similarity);
  }

  #compare(length: number): void {
    let sum = 0;
    for (let i = 0; i < this.#windows.length; i++) sum += this.#windows[i]!.cosine(this.#signatures[i]!);
    const similarity = Math.round(sum / this.#windows.length / STEP) * STEP;
    this.#background.add(similarity);
    this.#peaks.add(this.#seen - length, length, similarity);
  }
}
