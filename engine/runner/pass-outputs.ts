import type { Gpu } from "../device/gpu.ts";
import type { Activations } from "./activations.ts";

/** What of a pass can be read. */
export type OutputName = "h" | "mixed" | "memory" | "logits" | "metrics" | "logprobs";

/**
 * What a pass left in activations that other passes use as well. Its holder has them until it awaits something or submits
 * the next pass in them, and can read nothing of them later: by then the numbers may be another pass's.
 */
export class PassOutputs {
  readonly #gpu: Gpu;
  #activations: Activations | undefined;

  constructor(gpu: Gpu, activations: Activations) {
    this.#gpu = gpu;
    this.#activations = activations;
    queueMicrotask(() => this.end());
  }

  /** The activations, to record copies from. @throws Error when they may hold another pass's numbers */
  get activations(): Activations {
    if (this.#activations) return this.#activations;
    throw new Error("a pass was read too late: read it before you await, and before the next pass");
  }

  /** `count` floats of `output` from `offset` on. Their copy is submitted at once. @throws Error as {@link activations} does */
  readFloats(output: OutputName, offset: number, count: number): Promise<Float32Array> {
    return this.#gpu.readFloats(this.activations[output], offset, count);
  }

  /** The first `size` bytes of `output`, likewise. @throws Error as {@link activations} does */
  read(output: OutputName, size: number): Promise<ArrayBuffer> {
    return this.#gpu.read(this.activations[output], 0, size);
  }

  /** Gives the activations back. */
  end(): void {
    this.#activations = undefined;
  }
}
