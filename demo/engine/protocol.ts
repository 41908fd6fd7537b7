import type { WeightFormat } from "../../engine/platform/browser/index.ts";
import type { Match, RetrievalMode } from "../../engine/retrieval/retrieval.ts";
import type { TokenTrace, TraceShape } from "../trace.ts";

/** Where a model comes from. */
export type ModelSource =
  | { readonly kind: "url"; readonly name: string; readonly url: string }
  | { readonly kind: "files"; readonly name: string; readonly files: ReadonlyMap<string, File> };

export interface LoadProgress {
  readonly what: "reading the weights from the cache" | "fetching the weights" | "preparing the model";
  readonly bytes: number;
  readonly total: number | undefined;
}

/** What the page shows about the loaded model. */
export interface ModelInfo {
  readonly name: string;
  readonly family: string;
  readonly format: WeightFormat;
  readonly layers: number;
  readonly size: number;
  readonly vocabulary: number;
  /** Bytes of the weights on the GPU. */
  readonly weightBytes: number;
  /** Bytes of a stream's recurrent state. */
  readonly stateBytes: number;
  /** Whether a stream is its recurrent state alone, which can be saved and forked. */
  readonly portable: boolean;
  /** The retrieval modes that its memories allow. */
  readonly modes: readonly RetrievalMode[];
  readonly shape: TraceShape;
  readonly adapter: string;
  readonly software: boolean;
}

/** The sampler's settings for a generation. */
export interface Sampling {
  readonly maxTokens: number;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly repetitionPenalty: number;
  readonly phaseTemperature: number;
  /** Undefined: the seed that the stream generated with before. */
  readonly seed: number | undefined;
}

/** Progress of a generation. */
export interface WriteEvent {
  readonly text: string;
  readonly traces: readonly TokenTrace[];
  /** Tokens drawn so far, and milliseconds since the generation was asked for. */
  readonly tokens: number;
  readonly milliseconds: number;
  /** Tokens that the stream has been fed. */
  readonly position: number;
}

/** How a generation ended; `stopped` means by the reader. */
export interface Written {
  readonly reason: "length" | "eos" | "stop" | "stopped";
  readonly promptTokens: number;
  /** Tokens that the stream has been fed. */
  readonly position: number;
}

/** A stream that the engine holds for a session. */
export interface OpenStream {
  readonly id: number;
  readonly position: number;
}

export interface SearchRequest {
  readonly context: string;
  readonly needle: string;
  readonly mode: RetrievalMode;
  readonly topK: number;
  /** The largest number of parts that the strip divides the text into. */
  readonly parts: number;
}

/** Similarity along a text: part i begins at UTF-16 unit `offsets[i]` and its best place has `similarity[i]`. */
export interface Profile {
  readonly offsets: Float64Array;
  readonly similarity: Float32Array;
}

export interface SearchAnswer {
  readonly matches: readonly Match[];
  readonly tokens: number;
  readonly characters: number;
  readonly milliseconds: number;
  readonly profile: Profile;
}
