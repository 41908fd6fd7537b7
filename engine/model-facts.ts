import type { WeightFormat } from "../kernels/matrix.ts";
import type { BlockConstants } from "./config.ts";
import type { BaseModel } from "./network.ts";
import { type RetrievalMode, retrievalModes } from "./retrieval/retrieval-model.ts";
import type { Runner } from "./runner/runner.ts";
import { stateShape } from "./state/state-pool.ts";

/** Constant facts about a loaded model. */
export interface ModelFacts {
  /** `resonant`, or the base model's family. */
  readonly family: string;
  /** The base model under the adapters; null: a native model. */
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
  /** The maximum number of tokens in a stream; null: no limit. */
  readonly positions: number | null;
  /** The constants of each resonant block or adapter, in order. */
  readonly blocks: readonly BlockConstants[];
  /** Whether the drives' ω were trained. */
  readonly adaptiveOmega: boolean;
  /** Whether blocks have a phase-vector memory. */
  readonly pvm: boolean;
  /** The blocks' phase lattice; undefined: they have none. */
  readonly lattice: { readonly components: number; readonly grid: readonly [number, number] } | undefined;
  /** The memories that retrieval can use, the default first. */
  readonly retrievalModes: readonly RetrievalMode[];
  /** Whether streams can be saved, restored and forked: they have only a recurrent state. */
  readonly portable: boolean;
  /** Bytes of a stream's recurrent state. */
  readonly stateBytes: number;
  /** The row offsets of the memories in a layer's recurrent state, in rows of D numbers; null: no such memory. */
  readonly stateRows: { readonly count: number; readonly pvm: number | null; readonly plm: number | null };
  /** Bytes of attention cache per token. */
  readonly cacheBytes: number;
  /** The number of dispatches per decoded token. */
  readonly dispatchesPerToken: number;
}

/** Collects the facts about the model of a runner. */
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
