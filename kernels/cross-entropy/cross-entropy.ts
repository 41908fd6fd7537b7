import { type Dispatch, dispatch, Kernel, type KernelHost } from "../kernel.ts";
import reduce from "../lib/reduce.wgsl";
import source from "./cross-entropy.wgsl";

const kernel = new Kernel("cross-entropy", reduce, source);

export interface CrossEntropyBuffers {
  /** `[rows, vocabulary]`. */
  readonly logits: GPUBuffer;
  /** `[rows]` u32. */
  readonly targets: GPUBuffer;
  /** `[rows]`, written: nats. */
  readonly loss: GPUBuffer;
}

/** Each row's `−ln softmax(logits)[target]`. */
export function crossEntropy(host: KernelHost, vocabulary: number, buffers: CrossEntropyBuffers): Dispatch {
  return dispatch(
    host,
    kernel,
    { VOCAB: vocabulary },
    [buffers.logits, buffers.targets, buffers.loss],
    ({ rows }) => [rows, 1],
  );
}
