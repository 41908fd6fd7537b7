import { ResonantError } from "../../common/errors.ts";
import type { Dispatch, RunShape, StateShape } from "../../kernels/kernel.ts";
import { type TileBatch, tileBatchFor } from "../../kernels/linear/linear.ts";
import { decodeLogprobs, LOGPROBS_BYTES, type Logprobs, logprobs } from "../../kernels/logprobs/logprobs.ts";
import type { Matrix } from "../../kernels/matrix.ts";
import { CHUNK } from "../../kernels/memory-scan/memory-scan.ts";
import { MOST_STREAMS, type StreamPlace } from "../../kernels/run.ts";
import {
  encodeSampling,
  NOT_FINITE,
  SAMPLING_BYTES,
  type Sampling,
  sample,
} from "../../kernels/sample/sample.ts";
import { assertMemory } from "../alignment/readouts.ts";
import { alignmentMatrix, packAlignment, type VoteBuffers } from "../alignment/vote-buffers.ts";
import type { Gpu } from "../device/gpu.ts";
import { MemoryCount, type RunnerMemory } from "../device/memory.ts";
import type { Workspace } from "../forward.ts";
import type { Network, Passes } from "../network.ts";
import { PrefixStates } from "../state/prefix-states.ts";
import { StatePool, stateShape } from "../state/state-pool.ts";
import type { Weights } from "../weights.ts";
import { Activations } from "./activations.ts";

/** A generated token, and what was asked of its step. */
export interface Step {
  readonly token: number;
  /** `[layers, 4]` of R, lattice coherence, gate mean, mean |m|. */
  readonly measures: Float32Array | undefined;
  readonly logprobs?: Logprobs | undefined;
  /** The stream's recurrent state when its token was drawn, `[layers, rows, D]` of {@link stateShape}. */
  readonly state?: Float32Array | undefined;
}

/** How a run chooses tokens, and what it tells of them. */
export interface RunSettings {
  readonly sampling: Sampling;
  readonly measure: boolean;
  /** How many of the most likely tokens to tell beside each token's log-probability, 0 to 5; undefined: none of it. */
  readonly logprobs?: number | undefined;
  /** λ of the calibrated readout's votes on the logits (SPEC §5); 0, or undefined: it has none. */
  readonly readoutScale?: number | undefined;
  /** Whether to tell the stream's state at each step. */
  readonly trace?: boolean | undefined;
  /**
   * Told, where `measure` is set, the measures `[n, layers, 4]` of prompt tokens that were fed, from a position on: of all but
   * the last, whose measures are those of the first step.
   */
  readonly onPrompt?: ((position: number, measures: Float32Array) => void) | undefined;
}

/** A stream's part of a batched run. */
export interface BatchRow extends StreamPlace {
  readonly settings: RunSettings;
  /** Where the stream is kept as it was before; undefined: nowhere. */
  readonly snapshot?: number | undefined;
}

/** A stream's steps that have been submitted; their tokens come when the GPU is done. */
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
  /** Streams from which on a decode step multiplies in tiles of rows. Default: what the device's tuning says. */
  readonly tiledDecodeFrom?: number;
  /** Most bytes of GPU memory for states after beginnings of prompts, 0: none. Default 16 MiB. */
  readonly prefixBytes?: number;
}

/** A logits buffer for a pass larger than this is cut into smaller passes. */
const LOGIT_BYTES = 64 * 2 ** 20;

const PREFIX_BYTES = 16 * 2 ** 20;

/** Runs a network's passes on slots of a state pool. Everything is submitted in order; nothing here waits but reading. */
export class Runner {
  readonly gpu: Gpu;
  readonly network: Network;
  readonly weights: Weights;
  readonly pool: StatePool;
  readonly snapshots: StatePool;
  /** Undefined where none are kept, or attention's cache would be part of them. */
  readonly prefixes: PrefixStates | undefined;
  readonly promptRows: number;
  readonly maxSteps: number;
  readonly #shape: StateShape;
  readonly #passes: Passes;
  readonly #tiledDecodeFrom: number;
  readonly #step: Activations;
  readonly #stepLists = new Map<string, StepLists>();
  #stepLogprobs: Dispatch | undefined;
  #prompt: PromptLists | undefined;
  #alignment: Matrix | undefined;
  readonly #votes = new Map<Activations, VoteBuffers>();
  readonly #staging: GPUBuffer[] = [];
  /** Into which the states of one stream in one run are copied. */
  readonly #traces: GPUBuffer[] = [];
  readonly #memory: MemoryCount;

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
    this.#tiledDecodeFrom = options.tiledDecodeFrom ?? gpu.tuning.tiledDecodeFrom;
    const slots = options.slots ?? 16;
    if (slots > MOST_STREAMS) {
      throw new ResonantError(
        "invalid_argument",
        `${slots} streams, but a step feeds at most ${MOST_STREAMS}`,
        {
          where: "slots",
        },
      );
    }
    const memory = new MemoryCount(gpu);
    this.#memory = memory;
    this.#passes = memory.of("attention", () => network.passes(gpu, slots));
    this.#shape = stateShape(shape, layers);
    const pool = (rows: number): StatePool => new StatePool(gpu, this.#shape, vocabulary, rows);
    this.pool = memory.of("states", () => pool(slots));
    // Two runs of each stream may be in flight, and a fork needs one.
    this.snapshots = memory.of("snapshots", () => pool(2 * slots + 1));
    const prefixes = new PrefixStates(
      gpu,
      this.#shape,
      vocabulary,
      options.prefixBytes ?? PREFIX_BYTES,
      memory,
    );
    this.prefixes = this.portable && prefixes.rows > 0 ? prefixes : undefined;
    const sizes = { rows: slots, steps: this.maxSteps, vocabulary, logitRows: slots };
    this.#step = memory.of("steps", () => this.#activations(sizes));
    for (const measure of [false, true]) this.#stepListsOf({ measure, vote: false });
  }

  #activations(sizes: ConstructorParameters<typeof Activations>[3]): Activations {
    const { shape, blocks } = this.weights;
    return new Activations(this.gpu, { size: shape.size, inner: this.network.inner }, blocks.length, sizes);
  }

  /** The GPU memory taken so far, but for the weights. */
  get memory(): RunnerMemory {
    return { ...this.#memory.bytes };
  }

  /** Bytes of {@link memory} for each stream that may be open at once. */
  get memoryPerStream(): number {
    const { states, snapshots, attention, steps, staging } = this.#memory.bytes;
    return Math.ceil((states + snapshots + attention + steps + staging) / this.pool.slots);
  }

  /** Takes now the GPU memory that a first prompt, a first run and a first kept beginning of a prompt would take. */
  reserve(): void {
    const extras = { measure: false, vote: false };
    this.#promptLists().pass(extras);
    this.#stepListsOf(extras, this.pool.slots);
    if (this.#staging.length === 0) this.#staging.push(this.#newStaging());
    this.prefixes?.reserve();
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
    this.#alignment ??= this.#memory.of("alignment", () => alignmentMatrix(this.gpu, size));
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

  #workspace(a: Activations, { measure, vote }: Extras, tileBatch: TileBatch = "prefill"): Workspace {
    const { state, counts } = this.pool;
    const votes = vote ? this.#votesOf(a) : undefined;
    return { host: this.gpu, a, shape: this.#shape, state, counts, tileBatch, measure, votes };
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

  #setScales(a: Activations, scales: readonly number[]): void {
    this.gpu.device.queue.writeBuffer(this.#votesOf(a).scales, 0, Float32Array.from(scales));
  }

  #stepListsOf(extras: Extras, rows = 1): StepLists {
    const tiles = rows < this.#tiledDecodeFrom ? undefined : tileBatchFor(rows);
    return made(this.#stepLists, { ...extras, tiles }, () =>
      this.#memory.of("steps", () => {
        const on = this.#workspace(this.#step, extras, tiles ?? tileBatchFor(rows));
        const draw = sample(this.gpu, this.network.config.vocabulary, this.#step.layers, {
          ...this.#step,
          counts: this.pool.counts,
        });
        return {
          step: [...this.#passes.decodeStep(on, tiles ? "tiles" : "row"), draw],
          head: [...this.#passes.decodeHead(on), draw],
        };
      }),
    );
  }

  /** The step's lists for streams of `settings`; the kernel of log-probabilities is made when the first run asks for it. */
  #listsFor(settings: readonly RunSettings[]): StepLists {
    const measure = settings.some((each) => each.measure);
    const vote = settings.filter(({ readoutScale }) => this.votes(readoutScale)).length > 0;
    const lists = this.#stepListsOf({ measure, vote }, settings.length);
    if (settings.every((each) => each.logprobs === undefined)) return lists;
    this.#stepLogprobs ??= this.#memory.of("steps", () =>
      logprobs(this.gpu, this.network.config.vocabulary, this.#step),
    );
    return { step: [...lists.step, this.#stepLogprobs], head: [...lists.head, this.#stepLogprobs] };
  }

  /** Prepares a run's schedule, its samplers and the scales of its readouts. */
  #prepare(streams: readonly BatchRow[], steps: number, firstStep: -1 | 0 = -1): RunShape {
    const { queue } = this.gpu.device;
    const a = this.#step;
    const run = a.prepare(this.weights.blocks, streams, 1, steps, firstStep);
    const sampling = new Uint8Array(streams.length * SAMPLING_BYTES);
    streams.forEach(({ settings }, row) => {
      sampling.set(new Uint8Array(encodeSampling(settings.sampling)), row * SAMPLING_BYTES);
    });
    queue.writeBuffer(a.sampling, 0, sampling);
    const scales = streams.map(({ settings }) => settings.readoutScale ?? 0);
    if (scales.some((scale) => this.votes(scale))) this.#setScales(a, scales);
    return run;
  }

  /** What prompts work in: most of an engine's memory, so made when the first prompt comes. */
  #promptLists(): PromptLists {
    if (!this.#prompt) {
      const { vocabulary } = this.network.config;
      const logitRows = Math.max(1, Math.min(this.promptRows, Math.floor(LOGIT_BYTES / (4 * vocabulary))));
      const sizes = { rows: this.promptRows, steps: 1, vocabulary, logitRows };
      const counted = <T>(make: () => T): T => this.#memory.of("prompts", make);
      const a = counted(() => this.#activations(sizes));
      const [passes, heads] = [new Map<string, Dispatch[]>(), new Map<string, Dispatch[]>()];
      this.#prompt = {
        a,
        logitRows,
        pass: (extras) =>
          made(passes, extras, () => counted(() => this.#passes.prefillPass(this.#workspace(a, extras)))),
        head: (vote) => {
          const extras = { measure: false, vote };
          return made(heads, extras, () =>
            counted(() => this.#passes.prefillHead(this.#workspace(a, extras))),
          );
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

  /** {@link batch} of one stream. */
  steps(slot: number, position: number, steps: number, settings: RunSettings, snapshot?: number): Run {
    return this.batch([{ slot, position, settings, snapshot }], steps)[0]!;
  }

  /**
   * Feeds each stream's pending token and draws its next, `steps` times, all streams in one pass a step; snapshots are
   * taken first. What a stream is given depends on nothing but itself, bit for bit.
   * @param streams at most one a slot
   */
  batch(streams: readonly BatchRow[], steps: number): Run[] {
    const { step } = this.#listsFor(streams.map(({ settings }) => settings));
    const run = this.#prepare(streams, steps);
    const encoder = this.gpu.device.createCommandEncoder();
    for (const { slot, snapshot } of streams) {
      if (snapshot !== undefined) this.pool.copy(encoder, slot, this.snapshots, snapshot);
    }
    for (const { slot, row, count } of neighbours(streams)) {
      encoder.copyBufferToBuffer(this.pool.pending, 4 * slot, this.#step.tokens, 4 * row, 4 * count);
    }
    const traces = this.#openTraces(streams);
    if (traces.every((trace) => !trace)) {
      this.gpu.record(encoder, Array.from({ length: steps }, () => step).flat(), run);
    } else {
      for (let at = 0; at < steps; at++) {
        this.gpu.record(encoder, step, run);
        this.#trace(encoder, streams, traces, at);
      }
    }
    return this.#finish(encoder, streams, steps, traces);
  }

  /** Feeds part of a prompt, at most {@link promptRows} tokens, and draws none: a multiple of {@link CHUNK}, if more follow. */
  feed(
    slot: number,
    position: number,
    tokens: readonly number[],
    { measure, onPrompt }: Pick<RunSettings, "measure" | "onPrompt"> = { measure: false },
  ): void {
    const { a, pass } = this.#promptLists();
    const told = measure && onPrompt !== undefined;
    this.#feed(a, pass({ measure: told, vote: false }), tokens, [{ slot, position }]);
    if (told) this.#tellPrompt(a, tokens.length, position, onPrompt);
  }

  /** Tells the measures of the first `rows` rows of a pass. */
  #tellPrompt(
    a: Activations,
    rows: number,
    position: number,
    onPrompt: NonNullable<RunSettings["onPrompt"]>,
  ): void {
    if (rows === 0) return;
    this.gpu.readFloats(a.metrics, 0, rows * a.layers * 4).then(
      (measures) => onPrompt(position, measures),
      () => undefined, // the run's own results tell why
    );
  }

  /** Keeps a slot's stream as it is, in a row of `pool`. */
  keep(slot: number, row: number, pool = this.snapshots): void {
    this.#submit((encoder) => this.pool.copy(encoder, slot, pool, row));
  }

  /** {@link prompts} of one stream. */
  prompt(slot: number, position: number, tokens: readonly number[], settings: RunSettings): Run {
    return this.prompts([{ slot, settings }], position, tokens)[0]!;
  }

  /**
   * Feeds `tokens`, at least one, to streams that stand alike at `position` and have one `readoutScale`, and draws the next
   * of each. The first alone is fed, the others become copies of it; how many there are changes no bit of what any is given.
   */
  prompts(
    streams: readonly Pick<BatchRow, "slot" | "settings">[],
    position: number,
    tokens: readonly number[],
  ): Run[] {
    const [first, ...others] = streams;
    if (!first) return [];
    const last = position + tokens.length - 1;
    const rows = streams.map((stream) => ({ ...stream, position: last }));
    const { queue } = this.gpu.device;
    if (tokens.length === 1) {
      for (const { slot } of others) this.fork(first.slot, slot);
      for (const { slot } of streams)
        queue.writeBuffer(this.pool.pending, slot * 4, Uint32Array.from(tokens));
      return this.batch(rows, 1);
    }
    const settings = streams.map((stream) => stream.settings);
    const measure = settings.some((each) => each.measure);
    const { readoutScale, onPrompt } = first.settings;
    const vote = this.votes(readoutScale);
    const { head } = this.#listsFor(settings);
    const { a, pass } = this.#promptLists();
    let row = 0;
    for (let fed = 0; fed < tokens.length; fed += this.promptRows) {
      const part = tokens.slice(fed, fed + this.promptRows);
      const at = [{ slot: first.slot, position: position + fed }];
      this.#feed(a, pass({ measure, vote }), part, at, readoutScale);
      row = part.length - 1;
      const told = fed + part.length < tokens.length ? part.length : row;
      if (first.settings.measure && onPrompt) this.#tellPrompt(a, told, position + fed, onPrompt);
    }
    for (const { slot } of others) this.fork(first.slot, slot);
    const step = this.#step;
    const run = this.#prepare(rows, 1, 0);
    const encoder = this.gpu.device.createCommandEncoder();
    const copyRow = (from: GPUBuffer, to: GPUBuffer, bytes: number): void => {
      for (const i of rows.keys()) encoder.copyBufferToBuffer(from, row * bytes, to, i * bytes, bytes);
    };
    const rowBytes = 4 * this.weights.shape.size;
    copyRow(a.h, step.h, rowBytes);
    if (vote) copyRow(this.#votesOf(a).readouts, this.#votesOf(step).readouts, rowBytes);
    if (measure) copyRow(a.metrics, step.metrics, 16 * step.layers);
    this.gpu.record(encoder, head, run);
    const traces = this.#openTraces(rows);
    this.#trace(encoder, rows, traces, 0);
    return this.#finish(encoder, rows, 1, traces);
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
    const streams = Array.from({ length: tokens.length / length }, (_, i) => ({ slot: slot + i, position }));
    this.#feed(a, list, tokens, streams, readoutScale);
    return a;
  }

  /** Feeds one given token and draws none: its logits `[V]` and metrics are left in the returned activations. */
  step(slot: number, position: number, token: number, measure = false, readoutScale = 0): Activations {
    const { step } = this.#stepListsOf({ measure, vote: this.votes(readoutScale) });
    this.#feed(this.#step, step.slice(0, -1), [token], [{ slot, position }], readoutScale);
    return this.#step;
  }

  /** What steps work in. */
  get stepActivations(): Activations {
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
    streams: readonly StreamPlace[],
    readoutScale = 0,
  ): void {
    const { positions } = this.network.config;
    const length = tokens.length / streams.length;
    const end = Math.max(...streams.map(({ position }) => position + length));
    if (positions !== null && end > positions) {
      throw new ResonantError("invalid_argument", `${end} tokens, but the model has ${positions} positions`);
    }
    const run = a.prepare(this.weights.blocks, streams, length);
    a.setTokens(tokens);
    if (readoutScale) this.#setScales(a, new Array(run.rows).fill(readoutScale));
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

  /** Brings a slot's stream to what was kept in a row of `pool`. */
  restore(slot: number, row: number, pool = this.snapshots): void {
    this.#submit((encoder) => pool.copy(encoder, row, this.pool, slot));
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

  /** A buffer for each stream whose states are asked for. */
  #openTraces(streams: readonly BatchRow[]): readonly Trace[] {
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    const size = this.maxSteps * this.pool.stateBytes;
    return streams.map(({ settings }) =>
      settings.trace && size > 0
        ? (this.#traces.pop() ??
          this.#memory.of("staging", () => this.gpu.buffer("traced states", size, usage)))
        : undefined,
    );
  }

  /** Copies the states as they are now to their places for a step. */
  #trace(
    encoder: GPUCommandEncoder,
    streams: readonly BatchRow[],
    traces: readonly Trace[],
    step: number,
  ): void {
    const { state, stateBytes } = this.pool;
    traces.forEach((trace, i) => {
      if (trace)
        encoder.copyBufferToBuffer(
          state,
          streams[i]!.slot * stateBytes,
          trace,
          step * stateBytes,
          stateBytes,
        );
    });
  }

  /** The states of one stream's steps, and the buffer back. */
  async #readTrace(trace: Trace, steps: number): Promise<readonly Float32Array[]> {
    if (!trace) return [];
    const { stateBytes } = this.pool;
    await this.gpu.map(trace);
    const bytes = trace.getMappedRange(0, steps * stateBytes).slice(0);
    trace.unmap();
    this.#traces.push(trace);
    return Array.from({ length: steps }, (_, i) => new Float32Array(bytes, i * stateBytes, stateBytes / 4));
  }

  /** Submits a run whose last step has drawn each stream's token, and reads what it gave. */
  #finish(
    encoder: GPUCommandEncoder,
    streams: readonly BatchRow[],
    steps: number,
    traces: readonly Trace[],
  ): Run[] {
    this.gpu.assertAlive();
    const a = this.#step;
    const rows = streams.length;
    const told = layoutOf(streams, steps, a.layers);
    const staging = this.#staging.pop() ?? this.#newStaging();
    for (const { slot, row, count } of neighbours(streams)) {
      encoder.copyBufferToBuffer(a.tokens, 4 * row, this.pool.pending, 4 * slot, 4 * count);
    }
    const parts = [
      [a.results, 0, told.measures],
      [a.metrics, told.measures, told.logprobs],
      [a.logprobs, told.logprobs, told.size],
    ] as const;
    for (const [buffer, from, end] of parts) {
      if (end > from) encoder.copyBufferToBuffer(buffer, 0, staging, from, end - from);
    }
    this.gpu.device.queue.submit([encoder.finish()]);
    const read = this.#read(staging, told.size);
    return streams.map(({ position, settings }, row) => {
      const states = this.#readTrace(traces[row], steps);
      const results = Promise.all([read, states]).then(([bytes, states]) =>
        Array.from({ length: steps }, (_, step): Step => {
          const read = readStep(bytes, told, a.layers, step * rows + row, settings);
          return states[step] ? { ...read, state: states[step] } : read;
        }),
      );
      results.catch(() => {}); // a run whose result nobody awaits any more must not crash the process
      return { position, steps, results };
    });
  }

  #newStaging(): GPUBuffer {
    const { slots } = this.pool;
    const all = { settings: { measure: true, logprobs: 0 } };
    const { size } = layoutOf(new Array(slots).fill(all), this.maxSteps, this.#step.layers);
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    return this.#memory.of("staging", () => this.gpu.buffer("sampled tokens", size, usage));
  }

  async #read(staging: GPUBuffer, size: number): Promise<ArrayBuffer> {
    await this.gpu.map(staging);
    const bytes = staging.getMappedRange(0, size).slice(0);
    staging.unmap();
    this.#staging.push(staging);
    return bytes;
  }
}

/** Rows of a run whose streams lie in neighbouring slots, as one copy takes them. */
function neighbours(
  streams: readonly { readonly slot: number }[],
): { readonly slot: number; readonly row: number; count: number }[] {
  const runs: { slot: number; row: number; count: number }[] = [];
  streams.forEach(({ slot }, row) => {
    const last = runs.at(-1);
    if (last && slot === last.slot + last.count) last.count++;
    else runs.push({ slot, row, count: 1 });
  });
  return runs;
}

/** Where one stream's states go; undefined: nobody asks for them. */
type Trace = GPUBuffer | undefined;

/** Where a read-back run holds what, in bytes: the tokens, then what some stream asks for. */
interface Layout {
  readonly measures: number;
  readonly logprobs: number;
  readonly size: number;
}

function layoutOf(
  streams: readonly { readonly settings: Pick<RunSettings, "measure" | "logprobs"> }[],
  steps: number,
  layers: number,
): Layout {
  const places = steps * streams.length;
  const measure = streams.some(({ settings }) => settings.measure);
  const tell = streams.some(({ settings }) => settings.logprobs !== undefined);
  const measures = 4 * places;
  const logprobs = measures + (measure ? 16 * layers * places : 0);
  return { measures, logprobs, size: logprobs + (tell ? LOGPROBS_BYTES * places : 0) };
}

/** The step at `place` of `[steps, rows]`. @throws ResonantError `model` if its logits were not finite */
function readStep(
  bytes: ArrayBuffer,
  at: Layout,
  layers: number,
  place: number,
  { measure, logprobs }: RunSettings,
): Step {
  const token = new Uint32Array(bytes, 4 * place, 1)[0]!;
  if (token === NOT_FINITE) throw notFinite();
  const measures = measure
    ? new Float32Array(bytes, at.measures + 16 * layers * place, 4 * layers)
    : undefined;
  if (logprobs === undefined) return { token, measures };
  return { token, measures, logprobs: decodeLogprobs(bytes, at.logprobs + LOGPROBS_BYTES * place, logprobs) };
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
function made<T>(
  lists: Map<string, T>,
  extras: Extras & { tiles?: TileBatch | undefined },
  make: () => T,
): T {
  const key = `${extras.measure} ${extras.vote} ${extras.tiles}`;
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
