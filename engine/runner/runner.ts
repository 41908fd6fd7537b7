import { ResonantError } from "../../common/errors.ts";
import { CHUNK } from "../../kernels/memory-scan/memory-scan.ts";
import { MOST_STREAMS } from "../../kernels/run.ts";
import { ReadoutBias } from "../alignment/readout-bias.ts";
import type { Gpu } from "../device/gpu.ts";
import { MemoryCount, type RunnerMemory } from "../device/memory.ts";
import type { Network } from "../network.ts";
import { PrefixStates } from "../state/prefix-states.ts";
import { StatePool, stateShape } from "../state/state-pool.ts";
import type { Weights } from "../weights.ts";
import type { Activations } from "./activations.ts";
import { DecodePasses } from "./decode-passes.ts";
import type { BatchRow, DecodedStep, DecodeRun, RunSettings } from "./decode-run.ts";
import { DecodeRuns } from "./decode-runs.ts";
import { PassContext, PLAIN } from "./pass-context.ts";
import type { PassOutputs } from "./pass-outputs.ts";
import { type PassOptions, Prefill } from "./prefill.ts";
import { Snapshots } from "./snapshots.ts";

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

const PREFIX_BYTES = 16 * 2 ** 20;

/**
 * Runs a network on the streams of a state pool. It is made of parts: {@link Prefill} feeds prompts and given texts,
 * `DecodeRuns` draws tokens, {@link Snapshots} keeps streams as they were. All work is submitted in the order of the
 * calls; nothing waits for the GPU but reading.
 */
export class Runner {
  readonly gpu: Gpu;
  readonly network: Network;
  readonly weights: Weights;
  readonly pool: StatePool;
  readonly snapshots: Snapshots;
  /** Undefined where none are kept, or attention's cache would be part of them. */
  readonly prefixes: PrefixStates | undefined;
  readonly promptRows: number;
  readonly maxSteps: number;
  readonly #passes: DecodePasses;
  readonly #decode: DecodeRuns;
  readonly #bias: ReadoutBias;
  readonly #context: PassContext;
  readonly #memory: MemoryCount;
  #prefill: Prefill | undefined;

  constructor(gpu: Gpu, network: Network, options: RunnerOptions = {}) {
    const { weights } = network;
    const { vocabulary } = network.config;
    const slots = options.slots ?? 16;
    if (slots > MOST_STREAMS) {
      const message = `${slots} streams, but a step feeds at most ${MOST_STREAMS}`;
      throw new ResonantError("invalid_argument", message, { option: "slots" });
    }
    this.gpu = gpu;
    this.network = network;
    this.weights = weights;
    this.maxSteps = options.steps ?? 32;
    this.promptRows = Math.ceil((options.promptRows ?? 512) / CHUNK) * CHUNK;
    const memory = new MemoryCount(gpu);
    this.#memory = memory;
    const passes = memory.of("attention", () => network.passes(gpu, slots));
    const shape = stateShape(weights.shape, weights.blocks.length);
    const pool = (rows: number): StatePool => new StatePool(gpu, shape, vocabulary, rows);
    this.pool = memory.of("states", () => pool(slots));
    // Two runs of each stream may be in flight, and a fork needs one.
    const rows = memory.of("snapshots", () => pool(2 * slots + 1));
    this.snapshots = new Snapshots(gpu, this.pool, rows);
    const bytes = options.prefixBytes ?? PREFIX_BYTES;
    const prefixes = new PrefixStates(gpu, shape, vocabulary, bytes, memory);
    this.prefixes = this.portable && prefixes.rows > 0 ? prefixes : undefined;
    this.#bias = new ReadoutBias(gpu, weights, memory);
    const parts = { passes, pool: this.pool, bias: this.#bias, memory };
    this.#context = new PassContext(gpu, network, shape, parts);
    const tiledFrom = options.tiledDecodeFrom ?? gpu.tuning.tiledDecodeFrom;
    this.#passes = new DecodePasses(this.#context, slots, this.maxSteps, tiledFrom);
    this.#decode = new DecodeRuns(this.#context, this.#passes, this.snapshots);
  }

  /** Passes over many given tokens. It takes most of a runner's memory, so it is made when it is first used. */
  get prefill(): Prefill {
    this.#prefill ??= new Prefill(this.#context, this.promptRows);
    return this.#prefill;
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
    this.prefill.toH(PLAIN);
    this.#passes.lists({ ...PLAIN, logprobs: false }, this.pool.slots);
    this.#decode.reserve();
    this.prefixes?.reserve();
  }

  /**
   * Takes an alignment W `[D, D]` into use, in the place of an earlier one.
   * @throws ResonantError as `ReadoutBias.align`
   */
  align(alignment: Float32Array): void {
    this.#bias.align(alignment);
  }

  /**
   * Whether the readout biases logits at this scale.
   * @throws ResonantError `invalid_argument` for a scale above 0 without an alignment (option: `readoutScale`)
   */
  biases(readoutScale?: number): boolean {
    return this.#bias.applies(readoutScale);
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
    return this.#passes.lists({ ...PLAIN, logprobs: false }).step.length;
  }

  /** What decode steps work in, for tests and benchmarks that look at the last run's logits. */
  get stepActivations(): Activations {
    return this.#decode.activations;
  }

  /** {@link batch} of one stream. */
  steps(slot: number, position: number, steps: number, settings: RunSettings, snapshot?: number): DecodeRun {
    return this.batch([{ slot, position, settings, snapshot }], steps)[0]!;
  }

  /**
   * Feeds each stream's pending token and draws its next, `steps` times, all streams in one pass a step; snapshots are
   * taken first. What a stream is given depends on nothing but itself, bit for bit.
   * @param streams at most one a slot
   */
  batch(streams: readonly BatchRow[], steps: number): DecodeRun[] {
    return this.#decode.submit(streams, steps);
  }

  /** Feeds part of a prompt, at most {@link promptRows} tokens, and draws none: a multiple of {@link CHUNK}, if more follow. */
  feed(
    slot: number,
    position: number,
    tokens: readonly number[],
    { measure, onPrompt }: Pick<RunSettings, "measure" | "onPrompt"> = { measure: false },
  ): void {
    const reported = measure && onPrompt !== undefined;
    const list = this.prefill.toH({ ...PLAIN, measure: reported });
    const outputs = this.prefill.submit(list, [{ slot, position }], tokens);
    if (reported) this.#reportMeasures(outputs, tokens.length, position, onPrompt);
  }

  /** {@link prompts} of one stream. */
  prompt(slot: number, position: number, tokens: readonly number[], settings: RunSettings): DecodeRun {
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
  ): DecodeRun[] {
    const [first, ...others] = streams;
    if (!first) return [];
    const last = position + tokens.length - 1;
    const rows = streams.map((stream) => ({ ...stream, position: last }));
    if (tokens.length === 1) {
      const { queue } = this.gpu.device;
      for (const { slot } of others) this.snapshots.fork(first.slot, slot);
      for (const { slot } of streams)
        queue.writeBuffer(this.pool.pending, slot * 4, Uint32Array.from(tokens));
      return this.batch(rows, 1);
    }
    const { readoutScale, onPrompt } = first.settings;
    const measure = streams.some(({ settings }) => settings.measure);
    const list = this.prefill.toH({ measure, bias: this.biases(readoutScale) });
    let outputs: PassOutputs | undefined;
    let fed = 0;
    while (fed < tokens.length) {
      const part = tokens.slice(fed, fed + this.promptRows);
      const at = position + fed;
      outputs = this.prefill.submit(list, [{ slot: first.slot, position: at }], part, { readoutScale });
      fed += part.length;
      const reported = fed < tokens.length ? part.length : part.length - 1;
      if (first.settings.measure && onPrompt) this.#reportMeasures(outputs, reported, at, onPrompt);
    }
    for (const { slot } of others) this.snapshots.fork(first.slot, slot);
    return this.#decode.drawAfter(outputs!, (tokens.length - 1) % this.promptRows, rows);
  }

  /** Reports the measures of the first `rows` rows of a pass. */
  #reportMeasures(
    outputs: PassOutputs,
    rows: number,
    position: number,
    onPrompt: NonNullable<RunSettings["onPrompt"]>,
  ): void {
    if (rows === 0) return;
    outputs.readFloats("metrics", 0, rows * this.weights.blocks.length * 4).then(
      (measures) => onPrompt(position, measures),
      () => undefined, // the run's own results say why
    );
  }

  /** {@link Prefill.pass}. */
  pass(
    slot: number,
    position: number,
    tokens: ArrayLike<number>,
    length: number,
    options?: PassOptions,
  ): PassOutputs {
    return this.prefill.pass(slot, position, tokens, length, options);
  }

  /** Feeds one given token and draws none: leaves its logits `[V]`, and its metrics where `measure` asks for them. */
  step(slot: number, position: number, token: number, measure = false, readoutScale = 0): PassOutputs {
    return this.#decode.feedToken(slot, position, token, measure, readoutScale);
  }

  /** The step that would feed the slot's pending token, leaving the slot as it was. */
  async peek(slot: number, position: number, settings: RunSettings): Promise<DecodedStep> {
    const snapshot = this.snapshots.take();
    try {
      const { results } = this.steps(slot, position, 1, settings, snapshot);
      this.snapshots.restore(slot, snapshot);
      return (await results)[0]!;
    } finally {
      this.snapshots.give(snapshot);
    }
  }
}
