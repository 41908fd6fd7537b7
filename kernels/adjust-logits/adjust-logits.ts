import { type Dispatch, dispatch, Kernel, type KernelHost } from "../kernel.ts";
import order from "../lib/order.wgsl";
import run from "../lib/run.wgsl";
import sampling from "../lib/sampling.wgsl";
import sealed from "../lib/sealed.wgsl";
import { sharesRows, vocabularyParts } from "../vocabulary-parts.ts";
import source from "./adjust-logits.wgsl";

const kernel = new Kernel("adjust-logits", run, order, sealed, sampling, source);

/** The most tokens of a row that have a bias of their own. */
export const MOST_BIASES = 1024;

/** Bytes of one row's adjustment, and of its biases. */
export const ADJUSTMENT_BYTES = 16;
export const BIASES_BYTES = 8 * MOST_BIASES;

/** What changes a row's logits before its token is drawn. */
export interface Adjustment {
  /** 1 is off. */
  readonly repetitionPenalty: number;
  /** Is taken from the logit of each token that the text has. */
  readonly presencePenalty: number;
  /** Is taken from a token's logit once for each time that the text has it. */
  readonly frequencyPenalty: number;
  /** Is added to logits, by token; at most {@link MOST_BIASES}. */
  readonly logitBias: ReadonlyMap<number, number>;
}

/** One row's `Adjustment` of `adjust-logits.wgsl`. */
export function encodeAdjustment(a: Adjustment): ArrayBuffer {
  const view = new DataView(new ArrayBuffer(ADJUSTMENT_BYTES));
  view.setFloat32(0, a.repetitionPenalty, true);
  view.setFloat32(4, a.presencePenalty, true);
  view.setFloat32(8, a.frequencyPenalty, true);
  view.setUint32(12, a.logitBias.size, true);
  return view.buffer;
}

/** One row's biases, as many as there are. */
export function encodeBiases(biases: ReadonlyMap<number, number>): ArrayBuffer {
  const view = new DataView(new ArrayBuffer(8 * biases.size));
  [...biases].forEach(([token, value], i) => {
    view.setUint32(8 * i, token, true);
    view.setFloat32(8 * i + 4, value, true);
  });
  return view.buffer;
}

export interface AdjustLogitsBuffers {
  readonly run: GPUBuffer;
  /** `[rows]` of {@link encodeAdjustment}. */
  readonly adjustments: GPUBuffer;
  /** `[rows, MOST_BIASES]` of {@link encodeBiases}. */
  readonly biases: GPUBuffer;
  /** `[rows, vocabulary]`. */
  readonly logits: GPUBuffer;
  /** `[slots, vocabulary]` u32: how often each token has been fed to each stream. */
  readonly counts: GPUBuffer;
  /** `[rows, vocabulary]` u32: how often before the row's text began; read only of rows with such a penalty. */
  readonly bases: GPUBuffer;
  /** `[rows, vocabulary]`, written. */
  readonly adjusted: GPUBuffer;
}

/** Logits as sampling takes them: bias → repetition penalty → frequency and presence penalty (SPEC §4). */
export function adjustLogits(host: KernelHost, vocabulary: number, buffers: AdjustLogitsBuffers): Dispatch {
  const whole = { part: vocabulary, parts: 1 };
  const { part, parts } = sharesRows(host, vocabulary) ? vocabularyParts(vocabulary) : whole;
  const { run, adjustments, biases, logits, counts, bases, adjusted } = buffers;
  return dispatch(
    host,
    kernel,
    { VOCAB: vocabulary, PART: part, MOST_BIASES },
    [run, adjustments, biases, logits, counts, bases, adjusted],
    ({ rows }) => [parts, rows],
  );
}
