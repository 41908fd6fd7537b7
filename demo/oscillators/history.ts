import type { TokenTrace, TraceShape } from "../trace.ts";

/** How many tokens a {@link History} keeps. */
export const KEPT = 4096;

/** Indices of R and lattice coherence among a token's four measures. */
export type Measure = 0 | 1;

/**
 * The measures of the last {@link KEPT} tokens, and the newest state. Tokens are numbered from 0 since the last `clear`;
 * tokens `[first, end)` are kept.
 */
export class History {
  readonly shape: TraceShape;
  /** `[KEPT, layers, 2]`, a ring. */
  readonly #measures: Float32Array;
  /** `[KEPT, 2]`: their means over the layers. */
  readonly #means = new Float32Array(2 * KEPT);
  /** NaN where the token right before is not known. */
  readonly #moves = new Float32Array(KEPT);
  readonly #offsets = new Float64Array(KEPT);
  readonly #positions = new Float64Array(KEPT);
  readonly #prompt = new Uint8Array(KEPT);
  readonly #texts: string[] = [];
  readonly #listeners = new Set<() => void>();
  #first = 0;
  #end = 0;
  #most = 0;
  #state: Float32Array | undefined;

  constructor(shape: TraceShape) {
    this.shape = shape;
    this.#measures = new Float32Array(2 * KEPT * shape.layers);
  }

  get first(): number {
    return this.#first;
  }

  get end(): number {
    return this.#end;
  }

  /** The newest state `[layers, rows, D]`. */
  get state(): Float32Array | undefined {
    return this.#state;
  }

  /** The largest R of any layer since the last `clear`. */
  get mostR(): number {
    return this.#most;
  }

  /**
   * Adds a token. Keeps the trace's state without copying it. Tokens at this position or later are dropped first: the
   * stream was rewound to before them.
   */
  push({ measures, position, offset, text, prompt, state }: TokenTrace): void {
    const { layers } = this.shape;
    while (this.#end > this.#first && this.position(this.#end - 1) >= position) this.#end--;
    const at = this.#end % KEPT;
    const follows = this.#end > 0 && this.position(this.#end - 1) === position - 1;
    const before = follows ? this.mean(this.#end - 1, 0) : Number.NaN;
    for (const which of [0, 1] as const) {
      let sum = 0;
      for (let layer = 0; layer < layers; layer++) {
        const value = measures[4 * layer + which]!;
        this.#measures[2 * (at * layers + layer) + which] = value;
        sum += value;
        if (which === 0) this.#most = Math.max(this.#most, value);
      }
      this.#means[2 * at + which] = sum / layers;
    }
    this.#moves[at] = this.#means[2 * at]! - before;
    this.#offsets[at] = offset;
    this.#positions[at] = position;
    this.#prompt[at] = Number(prompt);
    this.#texts[at] = text;
    this.#state = state ?? this.#state;
    this.#end++;
    this.#first = Math.max(this.#first, this.#end - KEPT);
    this.#tell();
  }

  clear(): void {
    this.#first = 0;
    this.#end = 0;
    this.#most = 0;
    this.#texts.length = 0;
    this.#state = undefined;
    this.#tell();
  }

  /** Calls `listener` at every token; it should draw at the next frame, not at once. Returns a function that unsubscribes. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  /** R (0) or lattice coherence (1) of a layer after a token. */
  of(token: number, which: Measure, layer: number): number {
    return this.#measures[2 * ((token % KEPT) * this.shape.layers + layer) + which]!;
  }

  /** Their mean over the layers. */
  mean(token: number, which: Measure): number {
    return this.#means[2 * (token % KEPT) + which]!;
  }

  /** The token's place in the stream. */
  position(token: number): number {
    return this.#positions[token % KEPT]!;
  }

  /** Where its text begins in the transcript, in UTF-16 units. */
  offset(token: number): number {
    return this.#offsets[token % KEPT]!;
  }

  text(token: number): string {
    return this.#texts[token % KEPT]!;
  }

  prompt(token: number): boolean {
    return this.#prompt[token % KEPT] === 1;
  }

  /** How much the token changed the mean R; undefined where the token right before it is not known. */
  change(token: number): number | undefined {
    const change = this.#moves[token % KEPT]!;
    return Number.isNaN(change) ? undefined : change;
  }

  /** |{@link change}|. */
  moved(token: number): number | undefined {
    const change = this.change(token);
    return change === undefined ? undefined : Math.abs(change);
  }

  /** The `n` tokens from `from` on that changed the mean R most, largest change first. */
  topMovers(n: number, from = this.first): number[] {
    const found: number[] = [];
    if (n < 1) return found;
    for (let token = Math.max(from, this.first); token < this.#end; token++) {
      const moved = this.moved(token);
      if (moved === undefined) continue;
      if (found.length === n && moved <= this.moved(found[n - 1]!)!) continue;
      let place = found.length;
      while (place > 0 && this.moved(found[place - 1]!)! < moved) place--;
      found.splice(place, 0, token);
      if (found.length > n) found.pop();
    }
    return found;
  }

  /** The text of up to `tokens` tokens right before a token. */
  before(token: number, tokens: number): string {
    let text = "";
    for (let t = Math.max(this.first, token - tokens); t < token; t++) text += this.text(t);
    return text;
  }
}
