import { ResonantError } from "../../common/errors.ts";
import type { StateShape } from "../../kernels/kernel.ts";
import { CHUNK } from "../../kernels/memory-scan/memory-scan.ts";
import { MOST_STREAMS } from "../../kernels/run.ts";
import { ReadoutBias } from "../alignment/readout-bias.ts";
import type { Gpu } from "../device/gpu.ts";
import { MemoryCount, type RunnerMemory } from "../device/memory.ts";
import type { Network } from "../network.ts";
import { PrefixStates } from "../state/prefix-states.ts";
import { type Place, Residence } from "../state/residence.ts";
import { SavedStates } from "../state/saved-states.ts";
import { rowBytes, StatePool, stateShape } from "../state/state-pool.ts";
import type { Weights } from "../weights.ts";
import type { Activations } from "./activations.ts";
import { DecodePasses } from "./decode-passes.ts";
import type { BatchRow, DecodedStep, DecodeRun, RunSettings } from "./decode-run.ts";
import { DecodeRuns } from "./decode-runs.ts";
import { PassContext, PLAIN } from "./pass-context.ts";
import type { PassOutputs } from "./pass-outputs.ts";
import { type PassOptions, PrefillPasses } from "./prefill-passes.ts";

export interface RunnerOptions {
  /** The maximum number of streams that share a step: each needs a slot for its state meanwhile. Default 16. */
  readonly slots?: number;
  /**
   * The maximum number of open streams. Where it is above `slots`, streams take turns in these, and the states of the others
   * are parked. Default: as many as `slots`.
   */
  readonly streams?: number;
  /** The maximum GPU memory for parked states, in bytes. Default 64 MiB; what does not fit is parked on the host. */
  readonly parkedBytes?: number;
  /** The maximum memory for parked states on the host, in bytes. Default 1 GiB. Fewer streams can be open where they do not fit. */
  readonly parkedHostBytes?: number;
  /**
   * The maximum number of rows in a prompt pass, rounded up to whole chunks of the scan. Default 512; fewer where a dispatch
   * would be too much work for one submission.
   */
  readonly promptRows?: number;
  /** The maximum number of steps in one run. Default 32. */
  readonly steps?: number;
  /** The least number of streams for which a decode step multiplies in tiles of rows. Default: from the device's tuning. */
  readonly tiledDecodeFrom?: number;
  /** The maximum GPU memory for states after prompt prefixes, in bytes; 0: none are kept. Default 16 MiB. */
  readonly prefixBytes?: number;
}

const PREFIX_BYTES = 16 * 2 ** 20;
const PARKED_BYTES = 64 * 2 ** 20;
const PARKED_HOST_BYTES = 2 ** 30;
/** A parked stream whose reader is behind has two states: its own, and that after the last token that was read to its end. */
const STATES_PER_STREAM = 2;

/** The work per row of the largest dispatch of a layer: an MLP's gate and input in one; Q, K and V; or attention. */
function largestWork({ config, inner, weights }: Network): number {
  const { size } = weights.shape;
  return 2 * size * Math.max(2 * inner, 3 * size, 2 * (config.positions ?? 0));
}

/**
 * Runs a network on the streams of a state pool. {@link PrefillPasses} feeds prompts and given texts, {@link DecodeRuns}
 * draws tokens, and {@link SavedStates} stores copies of streams. Work is submitted in the order of the calls. Only reading
 * results waits for the GPU.
 */
export class Runner {
  readonly gpu: Gpu;
  readonly network: Network;
  readonly weights: Weights;
  readonly pool: StatePool;
  /** Copies of states: snapshots, and the states of streams that have no slot. */
  readonly snapshots: SavedStates;
  /** Which streams are open, and where their states lie. */
  readonly residence: Residence;
  /** States after prompt prefixes. Undefined if none are kept, or if a stream also has an attention cache. */
  readonly prefixes: PrefixStates | undefined;
  readonly promptRows: number;
  readonly maxSteps: number;
  readonly #passes: DecodePasses;
  readonly #decode: DecodeRuns;
  readonly #bias: ReadoutBias;
  readonly #context: PassContext;
  readonly #memory: MemoryCount;
  readonly #parkedBytes: number;
  #prefill: PrefillPasses | undefined;

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
    const most = Math.floor(gpu.submissionWork / largestWork(network) / CHUNK);
    this.promptRows = Math.min(Math.ceil((options.promptRows ?? 512) / CHUNK), Math.max(1, most)) * CHUNK;
    const memory = new MemoryCount(gpu);
    this.#memory = memory;
    const passes = memory.of("attention", () => network.passes(gpu, slots));
    const shape = stateShape(weights.shape, weights.blocks.length);
    const pool = (rows: number, spare = 0): StatePool => new StatePool(gpu, shape, vocabulary, rows, spare);
    // One more is for work on a stream that has none. Under attention, nothing can be moved there.
    const scratch = this.portable ? 1 : 0;
    this.pool = memory.of("states", () => pool(slots, scratch));
    const parking = this.#parking(shape, slots, options);
    // Each stream in a slot may have two runs in flight, with a snapshot each, and a fork needs one more row.
    const rows = memory.of("snapshots", () => pool(2 * slots + 1 + parking.rows));
    this.#parkedBytes = parking.rows * parking.bytes;
    const staging = (): GPUBuffer =>
      memory.of("staging", () =>
        gpu.buffer("parked state", parking.bytes, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST),
      );
    this.snapshots = new SavedStates(gpu, this.pool, rows, parking.rows, staging);
    this.residence = new Residence(this.pool, this.snapshots, {
      streams: parking.streams,
      portable: this.portable,
      scratch: slots,
    });
    const bytes = options.prefixBytes ?? PREFIX_BYTES;
    const prefixes = new PrefixStates(gpu, shape, vocabulary, bytes, memory);
    this.prefixes = this.portable && prefixes.rows > 0 ? prefixes : undefined;
    this.#bias = new ReadoutBias(gpu, weights, memory);
    const parts = { passes, pool: this.pool, bias: this.#bias, memory };
    this.#context = new PassContext(gpu, network, shape, parts);
    const tuned = gpu.rowsAlone ? Number.POSITIVE_INFINITY : gpu.tuning.tiledDecodeFrom;
    const tiledFrom = options.tiledDecodeFrom ?? tuned;
    this.#passes = new DecodePasses(this.#context, slots, this.maxSteps, tiledFrom);
    this.#decode = new DecodeRuns(this.#context, this.#passes, this.snapshots);
  }

  /** How many streams can be open, and how many rows of how many bytes are on the GPU for those that are parked. */
  #parking(
    shape: StateShape,
    slots: number,
    { streams: most = slots, parkedBytes = PARKED_BYTES, parkedHostBytes = PARKED_HOST_BYTES }: RunnerOptions,
  ): { readonly streams: number; readonly rows: number; readonly bytes: number } {
    const row = rowBytes(shape, this.network.config.vocabulary);
    const bytes = row.state + row.counts + row.pending;
    const parked = Math.max(0, most - slots);
    // Under attention a stream cannot be parked, but before its first turn it has no state either.
    if (!this.portable || parked === 0) return { streams: Math.max(1, most), rows: 0, bytes };
    const { maxBufferSize } = this.gpu.device.limits;
    const bound = Math.min(maxBufferSize, this.gpu.bindingBytes);
    const room = Math.floor(bound / Math.max(row.state, row.counts)) - (2 * slots + 1);
    const rows = Math.max(0, Math.min(room, STATES_PER_STREAM * parked, Math.floor(parkedBytes / bytes)));
    const all = Math.floor((rows + Math.floor(parkedHostBytes / bytes)) / STATES_PER_STREAM);
    return { streams: slots + Math.min(parked, all), rows, bytes };
  }

  /** Passes over many given tokens. Created at first use, since they take most of the memory of a runner. */
  get prefill(): PrefillPasses {
    this.#prefill ??= new PrefillPasses(this.#context, this.promptRows);
    return this.#prefill;
  }

  /** The GPU memory allocated so far, in bytes, without the weights. */
  get memory(): RunnerMemory {
    return { ...this.#memory.bytes };
  }

  /** The part of {@link memory} that grows with the number of slots, in bytes per slot. */
  get memoryPerStream(): number {
    const { states, snapshots, attention, steps, staging } = this.#memory.bytes;
    const parked = this.#parkedBytes; // by bytes, not by slots
    return Math.ceil((states + snapshots - parked + attention + steps + staging) / this.pool.slots);
  }

  /** Allocates the GPU memory of the first prompt, the first run and the first kept prefix now. */
  reserve(): void {
    this.prefill.toH(PLAIN);
    this.#passes.lists({ ...PLAIN, greedy: false, logprobs: 0 }, this.pool.slots);
    this.#decode.reserve();
    this.prefixes?.reserve();
  }

  /**
   * Sets the alignment W `[D, D]`, replacing an earlier one.
   * @throws ResonantError as `ReadoutBias.align`
   */
  align(alignment: Float32Array): void {
    this.#bias.align(alignment);
  }

  /**
   * Returns whether the readout biases logits at this scale.
   * @throws ResonantError `invalid_argument` for a scale above 0 without an alignment (option: `readoutScale`)
   */
  biases(readoutScale?: number): boolean {
    return this.#bias.applies(readoutScale);
  }

  /** Whether streams can be saved and forked: a stream then has only a recurrent state, and no attention cache. */
  get portable(): boolean {
    return this.network.cacheBytes === 0;
  }

  /** @throws ResonantError `unsupported` if streams have an attention cache: only recurrent states are portable */
  assertPortable(what: string): void {
    if (this.portable) return;
    throw new ResonantError("unsupported", `${what} under attention`, {
      fix: "Bypass attention, or take a native model",
    });
  }

  /** Returns the bytes of a stream of `position` tokens: its recurrent state and its part of the attention cache. */
  streamBytes(position: number): number {
    return this.pool.stateBytes + this.network.cacheBytes * position;
  }

  /** The number of dispatches per decoded token. */
  get dispatchesPerToken(): number {
    return this.#passes.lists({ ...PLAIN, greedy: false, logprobs: 0 }).step.length;
  }

  /** The activations of decode steps, for tests and benchmarks that read the logits of the last run. */
  get stepActivations(): Activations {
    return this.#decode.activations;
  }

  /** {@link batch} with one stream. */
  steps(slot: number, position: number, steps: number, settings: RunSettings, snapshot?: number): DecodeRun {
    return this.batch([{ slot, position, settings, snapshot }], steps)[0]!;
  }

  /**
   * Takes the snapshots of `streams`. Then feeds the pending token of each stream and draws its next, `steps` times, with
   * one pass per step for all streams. The results of a stream do not depend on the other streams, bit for bit.
   * @param streams each in a slot of its own
   */
  batch(streams: readonly BatchRow[], steps: number): DecodeRun[] {
    return this.#decode.submit(streams, steps);
  }

  /** Feeds part of a prompt, at most {@link promptRows} tokens, and draws none. If more follow: a multiple of {@link CHUNK}. */
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

  /** {@link prompts} with one stream. */
  prompt(slot: number, position: number, tokens: readonly number[], settings: RunSettings): DecodeRun {
    return this.prompts([{ slot, settings }], position, tokens)[0]!;
  }

  /**
   * Feeds `tokens`, at least one, to streams that have equal states at `position` and the same `readoutScale`. Then draws
   * the next token of each. Only the first stream is fed; the others become copies of it. The results of a stream do not
   * depend on the number of streams, bit for bit.
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
    // A single token is a decode step, unless that might give other bits than the prompt's other tokens have.
    if (tokens.length === 1 && !this.gpu.rowsAlone) {
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

  /** Reads the measures of the first `rows` rows of a pass and passes them to `onPrompt`. */
  #reportMeasures(
    outputs: PassOutputs,
    rows: number,
    position: number,
    onPrompt: NonNullable<RunSettings["onPrompt"]>,
  ): void {
    if (rows === 0) return;
    outputs.readFloats("metrics", 0, rows * this.weights.blocks.length * 4).then(
      (measures) => onPrompt(position, measures),
      () => undefined, // the results of the run report the error
    );
  }

  /** See {@link PrefillPasses.pass}. */
  pass(
    slot: number,
    position: number,
    tokens: ArrayLike<number>,
    length: number,
    options?: PassOptions,
  ): PassOutputs {
    return this.prefill.pass(slot, position, tokens, length, options);
  }

  /** Feeds one given token and draws none. The outputs hold its logits `[V]`, and its metrics if `measure` is set. */
  step(slot: number, position: number, token: number, measure = false, readoutScale = 0): PassOutputs {
    return this.#decode.feedToken(slot, position, token, measure, readoutScale);
  }

  /** Returns the step that would feed the pending token of a stream, and leaves the stream unchanged. */
  async peek(place: Place, position: number, settings: RunSettings): Promise<DecodedStep> {
    const { results } = await this.residence.visit(place, (slot) => {
      const snapshot = this.snapshots.take();
      try {
        const run = this.steps(slot, position, 1, settings, snapshot.row);
        this.snapshots.restore(slot, snapshot);
        return { results: run.results };
      } finally {
        this.snapshots.give(snapshot);
      }
    });
    return (await results)[0]!;
  }
}
