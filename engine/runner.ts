import type { Dispatch, StateShape } from "../kernels/kernel.ts";
import { decodeLogprobs, LOGPROBS_BYTES, type Logprobs, logprobs } from "../kernels/logprobs/logprobs.ts";
import type { Matrix } from "../kernels/matrix.ts";
import { CHUNK } from "../kernels/memory-scan/memory-scan.ts";
import { encodeSampling, NOT_FINITE, type Sampling, sample } from "../kernels/sample/sample.ts";
import { Activations } from "./activations.ts";
import { assertMemory } from "./alignment/readouts.ts";
import { alignmentMatrix, packAlignment, type VoteBuffers } from "./alignment/vote-buffers.ts";
import { ResonantError } from "./errors.ts";
import type { Workspace } from "./forward.ts";
import type { Gpu } from "./gpu.ts";
import type { Network, Passes } from "./network.ts";
import { StatePool, stateShape } from "./state.ts";
import type { Weights } from "./weights.ts";

/** A generated token, and what was asked of its step. */
export interface Step {
  readonly token: number;
  /** `[layers, 4]` of R, lattice coherence, gate mean, mean |m|. */
  readonly measures: Float32Array | undefined;
  readonly logprobs?: Logprobs | undefined;
}

/** How a run chooses tokens, and what it tells of them. */
export interface RunSettings {
  readonly sampling: Sampling;
  readonly measure: boolean;
  /** How many of the most likely tokens to tell beside each token's log-probability, 0 to 5; undefined: none of it. */
  readonly logprobs?: number | undefined;
  /** λ of the calibrated readout's votes on the logits (SPEC §5); 0, or undefined: it has none. */
  readonly readoutScale?: number | undefined;
}

/** Steps that have been submitted; their tokens come when the GPU is done. */
export interface Run {
  /** Position of the first token fed. */
  readonly position: number;
  readonly steps: number;
  readonly results: Promise<Step[]>;
}

export interface RunnerOptions {
  /** Streams that may be open at once. */
  readonly slots?: number;
  /** Most rows of a prompt pass, a multiple of the scan's chunk. */
  readonly promptRows?: number;
  /** Most steps of one run. */
  readonly steps?: number;
}

/** A logits buffer for a pass larger than this is cut into smaller passes. */
const LOGIT_BYTES = 64 * 2 ** 20;

/** Runs a network's passes on slots of a state pool. Everything is submitted in order; nothing here waits but reading. */
export class Runner {
  readonly gpu: Gpu;
  readonly network: Network;
  readonly weights: Weights;
  readonly pool: StatePool;
  readonly snapshots: StatePool;
  readonly promptRows: number;
  readonly maxSteps: number;
  readonly #shape: StateShape;
  readonly #passes: Passes;
  readonly #step: Activations;
  readonly #stepLists = new Map<string, StepLists>();
  #stepLogprobs: Dispatch | undefined;
  #prompt: PromptLists | undefined;
  #alignment: Matrix | undefined;
  readonly #votes = new Map<Activations, VoteBuffers>();
  readonly #staging: GPUBuffer[] = [];

  constructor(gpu: Gpu, network: Network, options: RunnerOptions = {}) {
    const { weights } = network;
    const { shape, blocks } = weights;
    const layers = blocks.length;
    const { vocabulary } = network.config;
    this.gpu = gpu;
    this.network = network;
    this.weights = weights;
    this.maxSteps = options.steps ?? 32;
    this.promptRows = Math.ceil((options.promptRows ?? 512) / CHUNK) * CHUNK;
    const slots = options.slots ?? 16;
    this.#passes = network.passes(gpu, slots);
    this.#shape = stateShape(shape, layers);
    this.pool = new StatePool(gpu, this.#shape, vocabulary, slots);
    // Two runs of each stream may be in flight, and a fork needs one.
    this.snapshots = new StatePool(gpu, this.#shape, vocabulary, 2 * slots + 1);
    this.#step = new Activations(gpu, { size: shape.size, inner: network.inner }, layers, {
      rows: 1,
      steps: this.maxSteps,
      vocabulary,
      logitRows: 1,
    });
    for (const measure of [false, true]) this.#stepListsOf({ measure, vote: false });
  }

  /**
   * Lets the first block's memory vote from now on, where a run asks for it; anew if it did before.
   * @param weights W of an alignment, `[D, D]`
   * @throws ResonantError `unsupported` where the model has no such memory, `invalid_argument` for a W of another size
   */
  align(weights: Float32Array): void {
    assertMemory(this);
    const { size } = this.weights.shape;
    if (weights.length !== size * size) {
      const message = `${weights.length} numbers are no [${size}, ${size}]`;
      throw new ResonantError("invalid_argument", message, { where: "alignment" });
    }
    this.#alignment ??= alignmentMatrix(this.gpu, size);
    packAlignment(this.gpu, weights, this.#alignment);
  }

  /**
   * Whether a readout votes at this scale.
   * @throws ResonantError `invalid_argument` if it would, and there is no alignment (where: `readoutScale`)
   */
  votes(scale = 0): boolean {
    if (scale === 0) return false;
    if (this.#alignment) return true;
    throw new ResonantError("invalid_argument", `${scale}, but the model has no alignment`, {
      where: "readoutScale",
      fix: "Load it with one that `resonant calibrate` made, or leave the scale at 0",
    });
  }

  /** Whether a stream is its recurrent state alone, which can be saved and forked. */
  get portable(): boolean {
    return this.network.cacheBytes === 0;
  }

  /** @throws ResonantError `unsupported` where attention's cache is part of a stream: only recurrent state is portable */
  assertPortable(what: string): void {
    if (this.portable) return;
    throw new ResonantError("unsupported", `${what} under attention`, {
      fix: "Bypass attention, or take a native model",
    });
  }

  /** Bytes that a stream of so many tokens takes: its recurrent state, and its part of attention's cache. */
  streamBytes(position: number): number {
    return this.pool.stateBytes + this.network.cacheBytes * position;
  }

  /** Dispatches that one decoded token takes. */
  get dispatchesPerToken(): number {
    return this.#stepListsOf({ measure: false, vote: false }).step.length;
  }

  #workspace(a: Activations, { measure, vote }: Extras): Workspace {
    const { state, counts } = this.pool;
    const votes = vote ? this.#votesOf(a) : undefined;
    return { host: this.gpu, a, shape: this.#shape, state, counts, measure, votes };
  }

  /** What votes on the logits of `a` are made of; without an alignment there is nobody to ask. */
  #votesOf(a: Activations): VoteBuffers {
    const { gpu } = this;
    const votes = this.#votes.get(a) ?? {
      weight: this.#alignment!,
      scales: gpu.storage("scales of readouts", 4 * a.rows),
      readouts: gpu.storage("readouts", 4 * a.rows * this.weights.shape.size),
    };
    this.#votes.set(a, votes);
    return votes;
  }

  #setScales(a: Activations, rows: number, scale: number): void {
    const scales = new Float32Array(rows).fill(scale);
    this.gpu.device.queue.writeBuffer(this.#votesOf(a).scales, 0, scales);
  }

  #stepListsOf(extras: Extras): StepLists {
    return made(this.#stepLists, extras, () => {
      const on = this.#workspace(this.#step, extras);
      const draw = sample(this.gpu, this.network.config.vocabulary, this.#step.layers, {
        ...this.#step,
        counts: this.pool.counts,
      });
      return { step: [...this.#passes.tokenStep(on), draw], head: [...this.#passes.headStep(on), draw] };
    });
  }

  /** The step's lists for `settings`; the kernel of log-probabilities is made when the first run asks for it. */
  #listsFor({ measure, logprobs: asked, readoutScale }: RunSettings): StepLists {
    const lists = this.#stepListsOf({ measure, vote: this.votes(readoutScale) });
    if (asked === undefined) return lists;
    this.#stepLogprobs ??= logprobs(this.gpu, this.network.config.vocabulary, this.#step);
    return { step: [...lists.step, this.#stepLogprobs], head: [...lists.head, this.#stepLogprobs] };
  }

  /** What prompts work in: most of an engine's memory, so made when the first prompt comes. */
  #promptLists(): PromptLists {
    if (!this.#prompt) {
      const { shape, blocks } = this.weights;
      const { vocabulary } = this.network.config;
      const logitRows = Math.max(1, Math.min(this.promptRows, Math.floor(LOGIT_BYTES / (4 * vocabulary))));
      const a = new Activations(this.gpu, { size: shape.size, inner: this.network.inner }, blocks.length, {
        rows: this.promptRows,
        steps: 1,
        vocabulary,
        logitRows,
      });
      const [passes, heads] = [new Map<string, Dispatch[]>(), new Map<string, Dispatch[]>()];
      this.#prompt = {
        a,
        logitRows,
        pass: (extras) => made(passes, extras, () => this.#passes.promptPass(this.#workspace(a, extras))),
        head: (vote) => {
          const extras = { measure: false, vote };
          return made(heads, extras, () => this.#passes.headPass(this.#workspace(a, extras)));
        },
      };
    }
    return this.#prompt;
  }

  /** Rows whose logits one {@link pass} can give. */
  get logitRows(): number {
    return this.#promptLists().logitRows;
  }

  /** Most tokens of a {@link pass} of a longer text: it ends where the scan's chunks do, if it gives so many logits. */
  get passLength(): number {
    return Math.floor(this.logitRows / CHUNK) * CHUNK || this.logitRows;
  }

  /** Feeds the slot's pending token and draws the next, `steps` times; `snapshot` is taken first. */
  steps(slot: number, position: number, steps: number, settings: RunSettings, snapshot?: number): Run {
    const { step } = this.#listsFor(settings);
    const encoder = this.gpu.device.createCommandEncoder();
    const a = this.#step;
    a.prepare(this.weights.blocks, { rows: 1, length: 1, slot }, position, steps);
    this.gpu.device.queue.writeBuffer(a.sampling, 0, encodeSampling(settings.sampling));
    if (settings.readoutScale) this.#setScales(a, 1, settings.readoutScale);
    if (snapshot !== undefined) this.pool.copy(encoder, slot, this.snapshots, snapshot);
    encoder.copyBufferToBuffer(this.pool.pending, slot * 4, a.tokens, 0, 4);
    this.gpu.record(encoder, Array.from({ length: steps }, () => step).flat(), { rows: 1, length: 1 });
    return this.#finish(encoder, slot, position, steps, settings);
  }

  /** Feeds `tokens`, at least one, and draws the next; `snapshot` is taken first. */
  prompt(
    slot: number,
    position: number,
    tokens: readonly number[],
    settings: RunSettings,
    snapshot?: number,
  ): Run {
    const { queue } = this.gpu.device;
    if (tokens.length === 1) {
      queue.writeBuffer(this.pool.pending, slot * 4, Uint32Array.from(tokens));
      return this.steps(slot, position, 1, settings, snapshot);
    }
    const { measure, readoutScale = 0 } = settings;
    const vote = this.votes(readoutScale);
    const head = this.#listsFor(settings).head;
    if (snapshot !== undefined)
      this.#submit((encoder) => this.pool.copy(encoder, slot, this.snapshots, snapshot));
    const { a, pass } = this.#promptLists();
    let rows = 0;
    let fed = 0;
    for (; fed < tokens.length; fed += rows) {
      const part = tokens.slice(fed, fed + this.promptRows);
      rows = part.length;
      const run = { rows, length: rows, slot };
      this.#feed(a, pass({ measure, vote }), part, run, position + fed, readoutScale);
    }
    const last = position + tokens.length - 1;
    const step = this.#step;
    step.prepare(this.weights.blocks, { rows: 1, length: 1, slot }, last, 1, 0);
    queue.writeBuffer(step.sampling, 0, encodeSampling(settings.sampling));
    const encoder = this.gpu.device.createCommandEncoder();
    const rowBytes = 4 * this.weights.shape.size;
    encoder.copyBufferToBuffer(a.h, (rows - 1) * rowBytes, step.h, 0, rowBytes);
    if (vote) {
      const [from, to] = [this.#votesOf(a).readouts, this.#votesOf(step).readouts];
      encoder.copyBufferToBuffer(from, (rows - 1) * rowBytes, to, 0, rowBytes);
    }
    const measureBytes = 16 * step.layers;
    if (measure) {
      encoder.copyBufferToBuffer(a.metrics, (rows - 1) * measureBytes, step.metrics, 0, measureBytes);
    }
    this.gpu.record(encoder, head, { rows: 1, length: 1 });
    return this.#finish(encoder, slot, last, 1, settings);
  }

  /**
   * Feeds `tokens` as streams of `length` tokens from `slot` on, each at `position`, and leaves logits and metrics of
   * every row in the returned activations, a readout's votes among them where it has any. At most {@link logitRows} tokens.
   */
  pass(
    slot: number,
    position: number,
    tokens: ArrayLike<number>,
    length: number,
    options: {
      measure?: boolean;
      after?: readonly Dispatch[];
      readoutScale?: number | undefined;
    } = {},
  ): Activations {
    const { a, pass, head, logitRows } = this.#promptLists();
    if (tokens.length > logitRows) {
      throw new ResonantError(
        "invalid_argument",
        `${tokens.length} tokens, but a pass gives ${logitRows} rows of logits`,
      );
    }
    const { measure = false, after = [], readoutScale } = options;
    const vote = this.votes(readoutScale);
    const list = [...pass({ measure, vote }), ...head(vote), ...after];
    this.#feed(a, list, tokens, { rows: tokens.length, length, slot }, position, readoutScale);
    return a;
  }

  /** Feeds one given token and draws none: its logits `[V]` and metrics are left in the returned activations. */
  step(slot: number, position: number, token: number, measure = false, readoutScale = 0): Activations {
    const { step } = this.#stepListsOf({ measure, vote: this.votes(readoutScale) });
    const run = { rows: 1, length: 1, slot };
    this.#feed(this.#step, step.slice(0, -1), [token], run, position, readoutScale);
    return this.#step;
  }

  /** What {@link pass} works in. */
  get passActivations(): Activations {
    return this.#promptLists().a;
  }

  #feed(
    a: Activations,
    list: readonly Dispatch[],
    tokens: ArrayLike<number>,
    run: { rows: number; length: number; slot: number },
    position: number,
    readoutScale = 0,
  ): void {
    const { positions } = this.network.config;
    if (positions !== null && position + run.length > positions) {
      throw new ResonantError(
        "invalid_argument",
        `${position + run.length} tokens, but the model has ${positions} positions`,
      );
    }
    a.prepare(this.weights.blocks, run, position);
    a.setTokens(tokens);
    if (readoutScale) this.#setScales(a, run.rows, readoutScale);
    this.#submit((encoder) => this.gpu.record(encoder, list, run));
  }

  /** The step that would feed the slot's pending token, leaving the slot as it was. */
  async peek(slot: number, position: number, settings: RunSettings): Promise<Step> {
    const snapshot = this.snapshots.take();
    try {
      const { results } = this.steps(slot, position, 1, settings, snapshot);
      this.restore(slot, snapshot);
      return (await results)[0]!;
    } finally {
      this.snapshots.give(snapshot);
    }
  }

  /** Brings a slot back to a snapshot. */
  restore(slot: number, snapshot: number): void {
    this.#submit((encoder) => this.snapshots.copy(encoder, snapshot, this.pool, slot));
  }

  /** Copies one slot's stream to another. */
  fork(from: number, to: number): void {
    const spare = this.snapshots.take();
    this.#submit((encoder) => {
      this.pool.copy(encoder, from, this.snapshots, spare);
      this.snapshots.copy(encoder, spare, this.pool, to);
    });
    this.snapshots.give(spare);
  }

  #submit(record: (encoder: GPUCommandEncoder) => void): void {
    this.gpu.assertAlive();
    const encoder = this.gpu.device.createCommandEncoder();
    record(encoder);
    this.gpu.device.queue.submit([encoder.finish()]);
  }

  #finish(
    encoder: GPUCommandEncoder,
    slot: number,
    position: number,
    steps: number,
    settings: RunSettings,
  ): Run {
    this.gpu.assertAlive();
    const a = this.#step;
    const at = this.#staged;
    const staging = this.#staging.pop() ?? this.#newStaging();
    encoder.copyBufferToBuffer(a.tokens, 0, this.pool.pending, slot * 4, 4);
    encoder.copyBufferToBuffer(a.results, 0, staging, 0, 4 * steps);
    if (settings.measure) {
      encoder.copyBufferToBuffer(a.metrics, 0, staging, at.measures, 16 * a.layers * steps);
    }
    if (settings.logprobs !== undefined) {
      encoder.copyBufferToBuffer(a.logprobs, 0, staging, at.logprobs, LOGPROBS_BYTES * steps);
    }
    this.gpu.device.queue.submit([encoder.finish()]);
    const results = this.#readSteps(staging, steps, settings);
    results.catch(() => {}); // a run whose result nobody awaits any more must not crash the process
    return { position, steps, results };
  }

  /** Where a read-back buffer holds what, in bytes; the tokens come first. */
  get #staged(): { readonly measures: number; readonly logprobs: number; readonly size: number } {
    const measures = 4 * this.maxSteps;
    const logprobs = measures + 16 * this.#step.layers * this.maxSteps;
    return { measures, logprobs, size: logprobs + LOGPROBS_BYTES * this.maxSteps };
  }

  #newStaging(): GPUBuffer {
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    return this.gpu.buffer("sampled tokens", this.#staged.size, usage);
  }

  async #readSteps(staging: GPUBuffer, steps: number, settings: RunSettings): Promise<Step[]> {
    await this.gpu.map(staging);
    const bytes = staging.getMappedRange().slice(0);
    staging.unmap();
    this.#staging.push(staging);
    const at = this.#staged;
    const width = 4 * this.#step.layers;
    const { measure, logprobs } = settings;
    return Array.from(new Uint32Array(bytes, 0, steps), (token, step) => {
      if (token === NOT_FINITE) throw notFinite();
      const measures = measure ? new Float32Array(bytes, at.measures + 4 * width * step, width) : undefined;
      if (logprobs === undefined) return { token, measures };
      const from = at.logprobs + LOGPROBS_BYTES * step;
      return { token, measures, logprobs: decodeLogprobs(bytes, from, logprobs) };
    });
  }
}

/** What is thrown where a model's logits are not all finite. */
export const notFinite = (): ResonantError =>
  new ResonantError("model", "the logits are not finite", {
    fix: "The weights, or a state that was imported, are damaged",
  });

/** What a pass does beside giving logits. */
interface Extras {
  readonly measure: boolean;
  readonly vote: boolean;
}

/** Of `lists` the one for `extras`, made when it is first asked for. */
function made<T>(lists: Map<string, T>, { measure, vote }: Extras, make: () => T): T {
  const key = `${measure} ${vote}`;
  const list = lists.get(key) ?? make();
  lists.set(key, list);
  return list;
}

interface StepLists {
  /** Token to next token. */
  readonly step: readonly Dispatch[];
  /** h to next token. */
  readonly head: readonly Dispatch[];
}

interface PromptLists {
  readonly a: Activations;
  readonly logitRows: number;
  readonly pass: (extras: Extras) => readonly Dispatch[];
  readonly head: (vote: boolean) => readonly Dispatch[];
}
