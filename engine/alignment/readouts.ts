import { ResonantError } from "../../common/errors.ts";
import type { Dispatch } from "../../kernels/kernel.ts";
import { PLAIN } from "../runner/pass-context.ts";
import type { Runner } from "../runner/runner.ts";
import { StatePool, stateShape } from "../state/state-pool.ts";
import { assertVectorMemory } from "./readout-bias.ts";

/** Readouts of successive tokens. */
export interface Readouts {
  /** Index of the first token. */
  readonly start: number;
  /** `[rows, D]`. */
  readonly z: Float32Array;
}

/**
 * The first block's phase-vector memory after each token of a text, in blocks of at most the runner's prompt rows: z_t =
 * m_t of SPEC §1, which the block adds to its output as Rot(θ_t) m_t. The rotation is left out. It is the same for all
 * pairs and depends only on the position, so m_t has the same information. But it turns many times over a text, so a linear
 * map fitted to rotated memories over all positions averages to nearly 0. (On the default model, fitted to
 * 54,000 bytes, m_t alone predicts 32 % of the next bytes and Rot(θ_t) m_t 6 %, fewer than the most frequent byte's 15 %.)
 *
 * The text is one stream from an empty state. If the positions of the model are limited, a new stream starts when they are
 * used up. Other streams of the runner can run meanwhile.
 * @param tokens each below the vocabulary
 * @throws ResonantError `unsupported` if the model has no such memory, `invalid_argument` if readouts of the runner are
 * already running, `model` if they are not finite; the signal's reason when it is aborted
 */
export async function* readouts(
  runner: Runner,
  tokens: Uint32Array,
  signal?: AbortSignal,
): AsyncGenerator<Readouts, void, undefined> {
  const pass = known.get(runner) ?? new ReadoutPass(runner);
  known.set(runner, pass);
  yield* pass.over(tokens, signal);
}

/** Kept as long as the runner, since a pass may have a large attention cache. */
const known = new WeakMap<Runner, ReadoutPass>();

/** A prefill pass up to the end of the first resonant block, with its own state. */
class ReadoutPass {
  readonly #runner: Runner;
  readonly #pool: StatePool;
  readonly #dispatches: readonly Dispatch[];
  #busy = false;

  constructor(runner: Runner) {
    assertVectorMemory(runner.weights);
    const { gpu, network, prefill, weights } = runner;
    const shape = stateShape(weights.shape, weights.blocks.length);
    this.#runner = runner;
    this.#pool = new StatePool(gpu, shape, network.config.vocabulary, 1);
    const on = prefill.workspace(PLAIN, this.#pool);
    this.#dispatches = network.passes(gpu, 1).prefillReadout(on);
  }

  async *over(tokens: Uint32Array, signal?: AbortSignal): AsyncGenerator<Readouts, void, undefined> {
    const { network, promptRows } = this.#runner;
    const window = network.config.positions ?? tokens.length;
    if (this.#busy) {
      throw new ResonantError("invalid_argument", "readouts of this model are being taken already");
    }
    this.#busy = true;
    try {
      for (let start = 0, rows = 0; start < tokens.length; start += rows) {
        signal?.throwIfAborted();
        const position = start % window;
        rows = Math.min(promptRows, window - position, tokens.length - start);
        yield { start, z: await this.#run(position, tokens.subarray(start, start + rows)) };
      }
    } finally {
      this.#busy = false;
    }
  }

  async #run(position: number, tokens: Uint32Array): Promise<Float32Array> {
    const { prefill, weights } = this.#runner;
    const size = weights.shape.size;
    const rows = tokens.length;
    if (position === 0) this.#pool.clear(0);
    const outputs = prefill.submit(this.#dispatches, [{ slot: 0, position }], tokens);
    const memory = await outputs.readFloats("memory", 0, rows * 2 * size);
    const z = new Float32Array(rows * size);
    for (let row = 0; row < rows; row++) {
      z.set(memory.subarray(2 * row * size, (2 * row + 1) * size), row * size);
    }
    if (z.every(Number.isFinite)) return z;
    throw new ResonantError("model", "a readout of the memory is not finite");
  }
}
