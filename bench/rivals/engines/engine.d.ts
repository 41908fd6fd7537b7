/** Says how to open an engine: with paths in Node, with URLs in a page. Each engine uses the fields that it needs. */
export interface Opening {
  /** Module of the engine's library. */
  readonly library: string;
  /** Folder of ONNX Runtime's WebAssembly; only in a page. */
  readonly wasm?: string;
  /** Folder of the model as safetensors. */
  readonly model: string;
  /** Folder of the model as ONNX. */
  readonly onnx: string;
  readonly format: "f32" | "f16" | "q4" | "q4f16";
  readonly version?: string;
}

/** WebGPU's description of an adapter. */
export interface AdapterInfo {
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
}

/** The tokens and times of one prompt and the decoding after it. */
export interface EngineRun {
  /** The tokens, chosen greedily; the prompt gives the first one. */
  readonly tokens: readonly number[];
  /** Milliseconds from the prompt's ids to the first token on the host. */
  readonly promptMs: number;
  /** Milliseconds per token after the first one. */
  readonly stepMs: number;
}

/** An engine with a loaded model. */
export interface Engine {
  readonly version: string | undefined;
  /** Undefined if the library does not report it. */
  readonly adapter: AdapterInfo | undefined;
  run(prompt: readonly number[], tokens: number): Promise<EngineRun>;
}
