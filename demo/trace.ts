/** The parts of a model's shape that the pictures need. */
export interface TraceShape {
  readonly layers: number;
  /** D. */
  readonly size: number;
  /** Rows of a layer's part of a state, each of D numbers. */
  readonly rows: number;
  /** The row of the vector memory m (pair j is `m[j] + i·m[j + ⌊D/2⌋]`); null if the model has none. */
  readonly vectorRow: number | null;
  /** The row of the lattice's modes z; null if the model has none. */
  readonly latticeRow: number | null;
  /** Gx, Gy of the lattice. */
  readonly grid: readonly [number, number] | null;
}

/** What was measured after one token was fed. */
export interface TokenTrace {
  /** The token's place in the stream, from 0. */
  readonly position: number;
  /** UTF-16 offset at which its text begins in the session's transcript, and that text; "" where it is part of a character. */
  readonly offset: number;
  readonly text: string;
  readonly prompt: boolean;
  /** `[layers, 4]`: R, lattice coherence, the gate's mean, mean |m|. */
  readonly measures: Float32Array;
  /** `[layers, rows, D]`, the whole recurrent state; undefined for prompt tokens except the last. */
  readonly state: Float32Array<ArrayBuffer> | undefined;
}
