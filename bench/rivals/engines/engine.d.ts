/** How an engine is opened. Paths in Node, URLs in a page; each engine takes what it needs. */
export interface Opening {
  /** The module of the engine's library. */
  readonly library: string;
  /** The folder of ONNX Runtime's WebAssembly, in a page. */
  readonly wasm?: string;
  /** The model's folder, as safetensors and as ONNX. */
  readonly model: string;
  readonly onnx: string;
  readonly format: "f32" | "f16" | "q4" | "q4f16";
  readonly version?: string;
}

/** What WebGPU tells of an adapter. */
export interface Adapter {
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
}

export interface Run {
  /** Drawn greedily, the first by the prompt. */
  readonly tokens: readonly number[];
  /** Milliseconds from the prompt's ids to the first token on the host. */
  readonly promptMs: number;
  /** Milliseconds per token of those after the first. */
  readonly stepMs: number;
}

/** A model, ready to run. */
export interface Engine {
  readonly version: string | undefined;
  /** Undefined where the library does not tell. */
  readonly adapter: Adapter | undefined;
  run(prompt: readonly number[], tokens: number): Promise<Run>;
}
