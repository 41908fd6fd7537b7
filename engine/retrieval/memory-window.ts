import type { Gpu } from "../gpu.ts";
import type { Weights } from "../weights.ts";

/**
 * A memory of SPEC §1 that remembers the last k tokens alone: the windowed state w_t = m_t − f^k ⊙ m_{t−k}, f the
 * memory's decay. It has a recurrence of its own, w_t = f ⊙ w_{t−1} + a ⊙ (u_t − f^k ⊙ u_{t−k}), so that m, which may be
 * far larger, is never subtracted from itself; and the closed form Σ_{i<k} f^i ⊙ a ⊙ u_{t−i}: it depends on nothing older.
 */
export interface MemoryWindow {
  /** w, `[D]`. */
  readonly state: Float64Array;
  /** Takes u_t and u_{t−k}, `[D]` each; the latter is zero for t < k. */
  advance(entering: Float32Array, leaving: Float32Array): void;
  /** Cosine of w with a {@link signature} `[D]`; 0 where either is zero. */
  cosine(signature: Float64Array): number;
}

/** What the first block's memories decay by. */
export interface Decay {
  /** β and α of each element, `[D]`. */
  readonly pvm: { readonly beta: Float64Array; readonly alpha: Float64Array };
  /** λe^{iω} of each pair as a D-vector of pairs, and 1 − λ of each pair, `[D/2]`; none: the model has no lattice. */
  readonly plm: { readonly factor: Float64Array; readonly drive: Float64Array } | undefined;
}

const known = new WeakMap<Weights, Decay>();

/** Reads, once, the decay of the first block's memories: the very f32 numbers its kernels use. */
export async function readDecay(gpu: Gpu, weights: Weights): Promise<Decay> {
  const decay = known.get(weights) ?? (await readTable(gpu, weights));
  known.set(weights, decay);
  return decay;
}

async function readTable(gpu: Gpu, weights: Weights): Promise<Decay> {
  const block = weights.blocks[0];
  const { size, lattice } = weights.shape;
  const half = Math.floor(size / 2);
  const columns = 8; // of `decayTable`: β, α, Re λe^{iω}, Im λe^{iω}, 1 − λ, and three powers
  const table = block ? await gpu.readFloats(block.decay, 0, Math.ceil(size / 2) * columns) : [];
  const column = (index: number, length: number): Float64Array =>
    Float64Array.from({ length }, (_, d) => {
      const pair = d < 2 * half ? d % half : half;
      return table[pair * columns + index] ?? 0;
    });
  const factor = new Float64Array(2 * half);
  factor.set(column(2, half));
  factor.set(column(3, half), half);
  return {
    pvm: { beta: column(0, size), alpha: column(1, size) },
    plm: lattice && { factor, drive: column(4, half) },
  };
}

/** The vector memory: real, element by element. */
export class VectorWindow implements MemoryWindow {
  readonly state: Float64Array;
  readonly #beta: Float64Array;
  readonly #alpha: Float64Array;
  /** β^k. */
  readonly #fade: Float64Array;

  /** @param length k, in tokens */
  constructor({ beta, alpha }: Decay["pvm"], length: number) {
    this.state = new Float64Array(beta.length);
    this.#beta = beta;
    this.#alpha = alpha;
    this.#fade = beta.map((value) => value ** length);
  }

  advance(entering: Float32Array, leaving: Float32Array): void {
    const w = this.state;
    const [beta, alpha, fade] = [this.#beta, this.#alpha, this.#fade];
    for (let d = 0; d < w.length; d++) {
      w[d] = beta[d]! * w[d]! + alpha[d]! * (entering[d]! - fade[d]! * leaving[d]!);
    }
  }

  cosine(signature: Float64Array): number {
    const w = this.state;
    let [dot, ww] = [0, 0];
    for (let d = 0; d < w.length; d++) {
      dot += signature[d]! * w[d]!;
      ww += w[d]! * w[d]!;
    }
    return quotient(dot, ww);
  }
}

/**
 * The lattice, complex, pair by pair in the Fourier basis that stores it. The way back to its cells is unitary, and
 * changes no inner product. The cosine is the complex one's modulus: a phase common to all pairs does not matter.
 */
export class LatticeWindow implements MemoryWindow {
  readonly state: Float64Array;
  readonly #factor: Float64Array;
  readonly #drive: Float64Array;
  /** (λe^{iω})^k. */
  readonly #fade: Float64Array;

  /** @param length k, in tokens */
  constructor({ factor, drive }: NonNullable<Decay["plm"]>, length: number) {
    const half = drive.length;
    this.state = new Float64Array(2 * half);
    this.#factor = factor;
    this.#drive = drive;
    this.#fade = new Float64Array(2 * half);
    for (let j = 0; j < half; j++) {
      const modulus = Math.hypot(factor[j]!, factor[j + half]!) ** length;
      const angle = Math.atan2(factor[j + half]!, factor[j]!) * length;
      this.#fade[j] = modulus * Math.cos(angle);
      this.#fade[j + half] = modulus * Math.sin(angle);
    }
  }

  advance(entering: Float32Array, leaving: Float32Array): void {
    const w = this.state;
    const [factor, drive, fade] = [this.#factor, this.#drive, this.#fade];
    for (let j = 0, half = drive.length; j < half; j++) {
      const i = j + half;
      const [re, im] = [w[j]!, w[i]!];
      const [oldRe, oldIm] = [leaving[j]!, leaving[i]!];
      const inRe = entering[j]! - (fade[j]! * oldRe - fade[i]! * oldIm);
      const inIm = entering[i]! - (fade[j]! * oldIm + fade[i]! * oldRe);
      w[j] = factor[j]! * re - factor[i]! * im + drive[j]! * inRe;
      w[i] = factor[j]! * im + factor[i]! * re + drive[j]! * inIm;
    }
  }

  cosine(signature: Float64Array): number {
    const w = this.state;
    let [re, im, ww] = [0, 0, 0];
    for (let j = 0, half = w.length / 2; j < half; j++) {
      const i = j + half;
      re += signature[j]! * w[j]! + signature[i]! * w[i]!;
      im += signature[j]! * w[i]! - signature[i]! * w[j]!;
      ww += w[j]! * w[j]! + w[i]! * w[i]!;
    }
    return quotient(Math.hypot(re, im), ww);
  }
}

const quotient = (dot: number, square: number): number => (square > 0 ? dot / Math.sqrt(square) : 0);

/** The windowed state that tokens leave in an empty memory, scaled to length 1. */
export function signature(window: MemoryWindow, features: readonly Float32Array[]): Float64Array {
  const nothing = new Float32Array(window.state.length);
  for (const u of features) window.advance(u, nothing);
  const norm = Math.hypot(...window.state);
  return window.state.map((value) => quotient(value, norm * norm));
}
