import type { Gpu } from "../device/gpu.ts";
import type { Activations } from "./activations.ts";

/** The outputs of a pass that can be read. */
type OutputName = "h" | "mixed" | "memory" | "logits" | "metrics" | "logprobs";

/**
 * The outputs of a pass, in activations that it shares with other passes. They can be read only until the holder awaits
 * something or another pass is submitted in the same activations. After that, the numbers may belong to another pass.
 */
export class PassOutputs {
  readonly #gpu: Gpu;
  #activations: Activations | undefined;

  constructor(gpu: Gpu, activations: Activations) {
    this.#gpu = gpu;
    this.#activations = activations;
    queueMicrotask(() => this.end());
  }

  /** The activations, to record copies from. @throws Error if they may hold the numbers of another pass */
  get activations(): Activations {
    if (this.#activations) return this.#activations;
    throw new Error("a pass was read too late: read it before you await, and before the next pass");
  }

  /** Reads `count` floats of `output` from `offset` on. Submits their copy at once. @throws Error as {@link activations} */
  readFloats(output: OutputName, offset: number, count: number): Promise<Float32Array> {
    return this.#gpu.readFloats(this.activations[output], offset, count);
  }

  /** Reads the first `size` bytes of `output` in the same way. @throws Error as {@link activations} */
  read(output: OutputName, size: number): Promise<ArrayBuffer> {
    return this.#gpu.read(this.activations[output], 0, size);
  }

  /** Makes the outputs unreadable: other passes may use the activations now. */
  end(): void {
    this.#activations = undefined;
  }
}
