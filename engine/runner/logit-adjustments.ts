import {
  ADJUSTMENT_BYTES,
  adjustLogits,
  BIASES_BYTES,
  encodeAdjustment,
  encodeBiases,
} from "../../kernels/adjust-logits/adjust-logits.ts";
import type { Dispatch } from "../../kernels/kernel.ts";
import type { Activations } from "./activations.ts";
import type { BatchRow, TextAdjustment } from "./decode-run.ts";
import type { PassContext } from "./pass-context.ts";

interface Buffers {
  readonly adjustments: GPUBuffer;
  readonly biases: GPUBuffer;
  readonly bases: GPUBuffer;
  readonly adjusted: GPUBuffer;
}

const counted = ({ presencePenalty, frequencyPenalty }: TextAdjustment): boolean =>
  presencePenalty !== 0 || frequencyPenalty !== 0;

/**
 * Adjusts the logits of a run's streams where a text asks for it (SPEC §4.1). What a text has is what its stream was fed since its
 * first token was drawn: the stream's counts less those of then, its base. A base belongs to the text and not to a slot, so that it
 * holds wherever the stream is moved or rewound.
 */
export class LogitAdjustments {
  readonly #on: PassContext;
  readonly #activations: Activations;
  readonly #bases = new WeakMap<TextAdjustment, GPUBuffer>();
  // A text may be left while its last steps are still being undone, so its base stays as long as anyone can ask for it.
  readonly #forgotten = new FinalizationRegistry<GPUBuffer>((base) => base.destroy());
  #buffers: Buffers | undefined;

  constructor(on: PassContext, activations: Activations) {
    this.#on = on;
    this.#activations = activations;
  }

  /** Where adjusted logits lie, and the dispatch that leaves them there. */
  get step(): { readonly logits: GPUBuffer; readonly dispatch: Dispatch } {
    const { gpu, vocabulary, pool, memory } = this.#on;
    const { run, logits } = this.#activations;
    const buffers = this.#made();
    const dispatch = memory.of("steps", () =>
      adjustLogits(gpu, vocabulary, { ...buffers, run, logits, counts: pool.counts }),
    );
    return { logits: buffers.adjusted, dispatch };
  }

  /** Writes what a run's rows ask for. */
  prepare(streams: readonly BatchRow[]): void {
    const { queue } = this.#on.gpu.device;
    const { adjustments, biases } = this.#made();
    streams.forEach(({ settings: { adjustment, sampling } }, row) => {
      const none = { presencePenalty: 0, frequencyPenalty: 0, logitBias: new Map<number, number>() };
      const repetitionPenalty = adjustment ? sampling.repetitionPenalty : 1;
      const encoded = encodeAdjustment({ ...(adjustment ?? none), repetitionPenalty });
      queue.writeBuffer(adjustments, row * ADJUSTMENT_BYTES, encoded);
      if (adjustment?.logitBias.size) {
        queue.writeBuffer(biases, row * BIASES_BYTES, encodeBiases(adjustment.logitBias));
      }
    });
  }

  /** Records copies of the rows' bases to where the run reads them. The base of a text is taken at its first run. */
  record(encoder: GPUCommandEncoder, streams: readonly BatchRow[]): void {
    const { pool } = this.#on;
    const bytes = pool.countBytes;
    streams.forEach(({ slot, settings: { adjustment } }, row) => {
      if (!adjustment || !counted(adjustment)) return;
      let base = this.#bases.get(adjustment);
      if (!base) {
        base = this.#base(adjustment);
        encoder.copyBufferToBuffer(pool.counts, slot * bytes, base, 0, bytes);
      }
      encoder.copyBufferToBuffer(base, 0, this.#made().bases, row * bytes, bytes);
    });
  }

  #base(adjustment: TextAdjustment): GPUBuffer {
    const { gpu, pool, memory } = this.#on;
    const base = memory.of("steps", () => gpu.storage("base of a text's counts", pool.countBytes));
    this.#bases.set(adjustment, base);
    this.#forgotten.register(adjustment, base);
    return base;
  }

  #made(): Buffers {
    const { gpu, vocabulary, pool, memory } = this.#on;
    const { rows } = this.#activations;
    this.#buffers ??= memory.of("steps", () => ({
      adjustments: gpu.storage("adjustments", rows * ADJUSTMENT_BYTES),
      biases: gpu.storage("biases of tokens", rows * BIASES_BYTES),
      bases: gpu.storage("bases of counts", rows * pool.countBytes),
      adjusted: gpu.storage("adjusted logits", 4 * rows * vocabulary),
    }));
    return this.#buffers;
  }
}
