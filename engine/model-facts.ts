import type { WeightFormat } from "../kernels/matrix.ts";
import type { BlockConstants } from "./config.ts";
import type { BaseModel } from "./network.ts";
import { type RetrievalMode, retrievalModes } from "./retrieval/retrieval-model.ts";
import type { Runner } from "./runner/runner.ts";
import { stateShape } from "./state/state-pool.ts";

/** What there is to say of a loaded model; nothing in it changes. */
export interface ModelFacts {
  /** `resonant`, or the base model's family. */
  readonly family: string;
  /** What the adapters stand on; null: a native model. */
  readonly base: BaseModel | null;
  readonly format: WeightFormat;
  readonly parameters: number;
  /** D. */
  readonly size: number;
  /** Inner size of a block's MLP; 0: it has none. */
  readonly inner: number;
  /** Taps of a block's convolution. */
  readonly taps: number;
  readonly vocabulary: number;
  /** Most tokens of a stream; null: no limit. */
  readonly positions: number | null;
  /** The constants of each resonant block, or adapter, in their order. */
  readonly blocks: readonly BlockConstants[];
  /** Whether the drives' ω were trained. */
  readonly adaptiveOmega: boolean;
  /** Whether blocks have a phase-vector memory. */
  readonly pvm: boolean;
  /** The blocks' phase lattice; undefined: they have none. */
  readonly lattice: { readonly components: number; readonly grid: readonly [number, number] } | undefined;
  /** The memories that can compare, the default one first. */
  readonly retrievalModes: readonly RetrievalMode[];
  /** Whether a stream is its recurrent state alone, which can be saved, restored and forked. */
  readonly portable: boolean;
  /** Bytes of a stream's recurrent state. */
  readonly stateBytes: number;
  /** Where the parts of a layer's recurrent state lie, in rows of D numbers; null: the model lacks the memory. */
  readonly stateRows: { readonly count: number; readonly pvm: number | null; readonly plm: number | null };
  /** Bytes of attention's cache that each token of a stream takes. */
  readonly cacheBytes: number;
  /** Dispatches that one decoded token takes. */
  readonly dispatchesPerToken: number;
}

/** What the runner's network says of its model. */
export function factsOf(runner: Runner, format: WeightFormat): ModelFacts {
  const { config, weights, cacheBytes } = runner.network;
  const { shape, blocks, parameters } = weights;
  const { tail, pvm, plm, rows } = stateShape(shape, blocks.length);
  return {
    family: config.family,
    base: config.base,
    format,
    parameters,
    size: shape.size,
    inner: shape.inner,
    taps: shape.taps,
    vocabulary: config.vocabulary,
    positions: config.positions,
    blocks: blocks.map(({ constants }) => constants),
    adaptiveOmega: config.adaptiveOmega,
    pvm: shape.pvm,
    lattice: shape.lattice,
    retrievalModes: retrievalModes(weights),
    portable: runner.portable,
    stateBytes: runner.pool.stateBytes,
    stateRows: { count: rows, pvm: pvm ? tail : null, plm: plm ? tail + Number(pvm) : null },
    cacheBytes,
    dispatchesPerToken: runner.dispatchesPerToken,
  };
}
