import { ResonantError } from "../common/errors.ts";
import type { Logprobs } from "../kernels/logprobs/logprobs.ts";
import type { WeightFormat } from "../kernels/matrix.ts";
import type { StartThread } from "../weights/apart/thread.ts";
import type { ChatTemplate } from "../weights/chat-template.ts";
import type { TensorFile } from "../weights/tensor-file.ts";
import { type EncodeOptions, loadTokenizer, type TextTokenizer } from "../weights/tokenizer.ts";
import { type Alignment, readAlignment } from "./alignment/alignment-file.ts";
import type { Gpu } from "./device/gpu.ts";
import type { RunnerMemory } from "./device/memory.ts";
import { type BaseOptions, loadNetwork } from "./families/index.ts";
import { Fingerprint } from "./fingerprint.ts";
import { type GenerateOptions, generate, type Piece } from "./generate.ts";
import { factsOf, type ModelFacts } from "./model-facts.ts";
import type { ModelConfig } from "./network.ts";
import { encodeLong } from "./retrieval/encode-long.ts";
import { type EvaluateOptions, type Evaluation, evaluate } from "./runner/evaluate.ts";
import { Runner, type RunnerOptions } from "./runner/runner.ts";
import { type ScoreOptions, score } from "./runner/score.ts";
import { RunnerExecutor } from "./scheduler/runner-executor.ts";
import { Scheduler } from "./scheduler/scheduler.ts";
import { decodeState, encodeState, type StateOwner, type StreamState } from "./state/state-file.ts";
import { Stream } from "./state/stream.ts";
import type { LoadCallbacks, Weights } from "./weights.ts";

/** The files of a model. A platform reads them from a folder or a URL. */
export interface ModelFiles {
  /** For messages: a folder or a name. */
  readonly name: string;
  /** `config.json`, parsed. */
  readonly config: unknown;
  /** Starts the threads in which what a model brings runs apart from the program. */
  readonly startThread: StartThread;
  readonly tensors: TensorFile;
  /** A checkpoint of adapters for a base model. */
  readonly adapters?: TensorFile | undefined;
  /** The output of `resonant calibrate` for this model: with it, the memory can bias the logits (SPEC §5.6). */
  readonly alignment?: TensorFile | undefined;
  /** `tokenizer.json` and `tokenizer_config.json`, parsed; null if missing. */
  readonly tokenizer: unknown;
  readonly tokenizerConfig: unknown;
  /** The text of `chat_template.jinja`, if it exists. */
  readonly chatTemplate?: string | null | undefined;
}

export interface LoadOptions extends RunnerOptions, BaseOptions, LoadCallbacks {
  /** Default `f32`. */
  readonly format?: WeightFormat;
  /** Called with a message about each part of the files that is not used. */
  readonly onRemark?: (remark: string) => void;
}

/** An alignment without its weights. */
export type AlignmentFit = Omit<Alignment, "weights">;

/** The GPU memory of a model in bytes, by purpose. */
export interface ModelMemory extends RunnerMemory {
  readonly weights: number;
}

/** A model on a GPU: it generates text in streams, which keep their state. */
export class Model {
  readonly name: string;
  readonly gpu: Gpu;
  readonly config: ModelConfig;
  readonly weights: Weights;
  readonly runner: Runner;
  /** Decodes the streams of the model, many of them in one step. */
  readonly scheduler: Scheduler;
  readonly tokenizer: TextTokenizer | undefined;
  /** Undefined if the model has none, or one that cannot be used. */
  readonly chatTemplate: ChatTemplate | undefined;
  /** SHA-256 of its configuration and source weights. */
  readonly fingerprint: string;
  readonly format: WeightFormat;
  /** Constant facts about the model. */
  readonly facts: ModelFacts;
  readonly #weightBytes: number;
  #alignment: AlignmentFit | undefined;

  /** @throws ResonantError naming the file, field, tensor, kernel or buffer at fault */
  static async load(gpu: Gpu, files: ModelFiles, options: LoadOptions = {}): Promise<Model> {
    const format = options.format ?? "f32";
    const tokenizer =
      files.tokenizer === null
        ? undefined
        : await loadTokenizer(
            files.tokenizer,
            files.tokenizerConfig,
            `${files.name}: tokenizer.json`,
            files.startThread,
          );
    const chatTemplate = tokenizer && (await chatTemplateOf(files, options));
    const fingerprint = new Fingerprint();
    const before = gpu.bytes;
    const { network, identity, remarks } = await loadNetwork(gpu, files, format, options, fingerprint);
    for (const remark of remarks) options.onRemark?.(remark);
    const weightBytes = gpu.bytes - before;
    const runner = new Runner(gpu, network, options);
    await gpu.settle();
    const digest = await fingerprint.digest(identity);
    const model = new Model(files.name, gpu, runner, tokenizer, chatTemplate, digest, format, weightBytes);
    if (files.alignment) model.align(await readAlignment(files.alignment, model));
    await gpu.settle();
    return model;
  }

  private constructor(
    name: string,
    gpu: Gpu,
    runner: Runner,
    tokenizer: TextTokenizer | undefined,
    chatTemplate: ChatTemplate | undefined,
    fingerprint: string,
    format: WeightFormat,
    weightBytes: number,
  ) {
    this.name = name;
    this.gpu = gpu;
    this.config = runner.network.config;
    this.weights = runner.weights;
    this.runner = runner;
    this.scheduler = new Scheduler(new RunnerExecutor(runner));
    this.tokenizer = tokenizer;
    this.chatTemplate = chatTemplate;
    this.fingerprint = fingerprint;
    this.format = format;
    this.facts = factsOf(runner, format);
    this.#weightBytes = weightBytes;
  }

  /** The GPU memory allocated so far. It is exact if nothing else allocated memory on the device while the model loaded. */
  get memory(): ModelMemory {
    return { weights: this.#weightBytes, ...this.runner.memory };
  }

  /** The part of {@link memory} that grows with the number of slots, in bytes per slot. */
  get memoryPerStream(): number {
    return this.runner.memoryPerStream;
  }

  /** Allocates now the GPU memory that is otherwise allocated at first use. */
  reserve(): void {
    this.runner.reserve();
  }

  /** The number of open streams, and its maximum. */
  get streams(): { readonly open: number; readonly most: number } {
    const { open, most } = this.runner.residence;
    return { open, most };
  }

  /** @throws ResonantError `invalid_file` if the model has no tokenizer */
  async encode(text: string, options?: EncodeOptions): Promise<number[]> {
    return encodeLong(this.#text(), text, options);
  }

  /** Returns the bytes of a token. */
  tokenBytes(token: number): Uint8Array {
    return this.#text().bytes(token);
  }

  #text(): TextTokenizer {
    if (this.tokenizer) return this.tokenizer;
    throw new ResonantError("invalid_file", "the model has no tokenizer.json", { where: this.name });
  }

  /** How the alignment was fitted; undefined: there is none. */
  get alignment(): AlignmentFit | undefined {
    return this.#alignment;
  }

  /**
   * Sets the alignment of this model, replacing an earlier one. The readout then biases the logits if `readoutScale` is
   * above 0.
   * @throws ResonantError `unsupported` if the model has no phase-vector memory, `invalid_argument` for another size
   */
  align({ weights, lambda, tokens, residual }: Alignment): void {
    this.runner.align(weights);
    this.#alignment = { lambda, tokens, residual };
  }

  /** Opens an empty stream at position 0. Close it to free its place. */
  open(): Stream {
    return new Stream(this.runner);
  }

  /** Generates text after `prompt`, in `stream` if it is given. */
  async *generate(
    prompt: string | readonly number[],
    options: GenerateOptions & { readonly stream?: Stream } = {},
  ): AsyncGenerator<Piece, void, undefined> {
    const stream = options.stream ?? this.open();
    try {
      yield* generate(this, stream, prompt, options);
    } finally {
      if (!options.stream) stream.close();
    }
  }

  /** Returns the mean negative log-likelihood of a text, in nats per token (SPEC §7.2). */
  evaluate(tokens: ArrayLike<number>, options: EvaluateOptions): Promise<Evaluation> {
    return evaluate(this.runner, tokens, options);
  }

  /**
   * Returns the log-probability, in nats, of each token after the first, given the tokens before it, and of the `logprobs`
   * (0 to 5) most likely tokens at its position: `[tokens − 1]`. Starts from an empty state. Uses one slot meanwhile.
   * @throws ResonantError `invalid_argument` for a bad token or count, `out_of_memory` if no slot is free, `model` if the
   * logits are not finite; the signal's reason when it is aborted
   */
  score(tokens: ArrayLike<number>, logprobs = 0, options: ScoreOptions = {}): Promise<Logprobs[]> {
    return score(this.runner, tokens, logprobs, options);
  }

  /** Returns the state of a stream as a file (SPEC §3.2). @throws ResonantError `unsupported` under attention */
  async save(stream: Stream): Promise<Uint8Array<ArrayBuffer>> {
    this.runner.assertPortable("a state cannot be saved");
    const { position, pending, seed, choice, text } = stream;
    const { state, counts } = await this.runner.residence.read(stream.place);
    return encodeState(this.#owner(), { position, pending, seed, choice, text, state, counts });
  }

  /**
   * Opens a stream that continues a saved state.
   * @throws ResonantError `state` if it is damaged or of another model, `invalid_argument` if a value is out of bounds
   */
  async restore(file: Uint8Array<ArrayBuffer>, name = "state"): Promise<Stream> {
    const { position, pending, seed, choice, text, state, counts } = await this.check(file, name);
    const stream = new Stream(this.runner);
    const own = state as Float32Array<ArrayBuffer>;
    this.runner.residence.write(stream.place, own, counts, pending ?? 0);
    return Object.assign(stream, { position, pending, seed, choice, text });
  }

  /**
   * Reads a saved state and checks whether it can be restored. Takes no slot.
   * @throws ResonantError `state` if it is damaged or of another model, `invalid_argument` if a value is out of bounds,
   * `unsupported` under attention
   */
  async check(file: Uint8Array<ArrayBuffer>, name = "state"): Promise<StreamState> {
    this.runner.assertPortable("a state cannot be restored");
    return decodeState(this.#owner(), file, name);
  }

  #owner(): StateOwner {
    const { config, weights, fingerprint, format } = this;
    const { shape, blocks } = weights;
    return { shape, layers: blocks.length, vocabulary: config.vocabulary, fingerprint, format };
  }
}

/** Loads the chat template. Without a usable one, the model can still continue texts. Imports the parser only if needed. */
async function chatTemplateOf(
  files: ModelFiles,
  { onRemark }: LoadOptions,
): Promise<ChatTemplate | undefined> {
  const { tokenizerConfig, chatTemplate } = files;
  const given = chatTemplate ?? (tokenizerConfig as { chat_template?: unknown } | null)?.chat_template;
  if (given === undefined || given === null) return undefined;
  const { loadChatTemplate } = await import("../weights/chat-template.ts");
  try {
    return await loadChatTemplate(tokenizerConfig, chatTemplate, files.name, files.startThread);
  } catch (error) {
    if (!(error instanceof ResonantError)) throw error;
    onRemark?.(error.message);
    return undefined;
  }
}
