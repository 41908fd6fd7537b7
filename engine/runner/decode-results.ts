import { decodeLogprobs, entriesFor, logprobsBytes, TOP_LOGPROBS } from "../../kernels/logprobs/logprobs.ts";
import { NOT_FINITE } from "../../kernels/sample/sample.ts";
import type { Gpu } from "../device/gpu.ts";
import type { MemoryCount } from "../device/memory.ts";
import { ReadBackPool } from "../device/read-back.ts";
import type { StatePool } from "../state/state-pool.ts";
import type { Activations } from "./activations.ts";
import {
  type BatchRow,
  type DecodedStep,
  type DecodeRun,
  notFinite,
  type RunSettings,
} from "./decode-run.ts";

/** The buffers that hold results, and the read-back buffers for them. */
interface Sources {
  readonly activations: Activations;
  readonly pool: StatePool;
  readonly staging: ReadBackPool;
  readonly traces: ReadBackPool;
}

/** Reads back the results of decode runs. Each run in flight has its own read-back buffers. */
export class DecodeResults {
  readonly #sources: Sources;

  constructor(gpu: Gpu, activations: Activations, pool: StatePool, memory: MemoryCount) {
    const { rows, steps, layers } = activations;
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    const buffers = (label: string, size: number): ReadBackPool =>
      new ReadBackPool(gpu, () => memory.of("staging", () => gpu.buffer(label, size, usage)));
    const everything = { settings: { measure: true, logprobs: TOP_LOGPROBS } };
    const { size } = resultLayout(new Array(rows).fill(everything), steps, layers);
    this.#sources = {
      activations,
      pool,
      staging: buffers("sampled tokens", size),
      traces: buffers("traced states", steps * pool.stateBytes),
    };
  }

  /** Allocates the buffer for the first run now. */
  reserve(): void {
    this.#sources.staging.reserve();
  }

  /** Takes read-back buffers for a run of `streams`. */
  open(streams: readonly BatchRow[], steps: number): OpenResults {
    return new OpenResults(this.#sources, streams, steps);
  }
}

/** The results of one run: copied by its command buffer, and read back after it is submitted. */
export class OpenResults {
  /** Whether the states of any stream are wanted. */
  readonly traced: boolean;
  readonly #sources: Sources;
  readonly #streams: readonly BatchRow[];
  readonly #steps: number;
  /** For each stream the read-back buffer of its states; undefined if they are not wanted. */
  readonly #traces: readonly (GPUBuffer | undefined)[];
  readonly #layout: ResultLayout;
  readonly #staging: GPUBuffer;

  constructor(sources: Sources, streams: readonly BatchRow[], steps: number) {
    const { activations, pool, staging, traces } = sources;
    this.#sources = sources;
    this.#streams = streams;
    this.#steps = steps;
    this.#layout = resultLayout(streams, steps, activations.layers);
    this.#traces = streams.map(({ settings }) =>
      settings.trace && pool.stateBytes > 0 ? traces.take() : undefined,
    );
    this.traced = this.#traces.some((trace) => trace !== undefined);
    this.#staging = staging.take();
  }

  /** Records copies of the states of the streams after step `step`. */
  recordStates(encoder: GPUCommandEncoder, step: number): void {
    const { state, stateBytes } = this.#sources.pool;
    this.#traces.forEach((trace, i) => {
      if (!trace) return;
      const from = this.#streams[i]!.slot * stateBytes;
      encoder.copyBufferToBuffer(state, from, trace, step * stateBytes, stateBytes);
    });
  }

  /** Records copies of all other results, after the last step. */
  record(encoder: GPUCommandEncoder): void {
    const { results, metrics, logprobs } = this.#sources.activations;
    const at = this.#layout;
    for (const [buffer, from, end] of [
      [results, 0, at.measures],
      [metrics, at.measures, at.logprobs],
      [logprobs, at.logprobs, at.size],
    ] as const) {
      if (end > from) encoder.copyBufferToBuffer(buffer, 0, this.#staging, from, end - from);
    }
  }

  /** Reads all results back. Call it once, after the run is submitted. */
  read(): DecodeRun[] {
    const steps = this.#steps;
    const rows = this.#streams.length;
    const { activations, staging } = this.#sources;
    const { layers } = activations;
    const read = staging.read(this.#staging, this.#layout.size);
    return this.#streams.map(({ position, settings }, row) => {
      const states = this.#readStates(this.#traces[row]);
      const results = Promise.all([read, states]).then(([bytes, states]) =>
        Array.from({ length: steps }, (_, step): DecodedStep => {
          const decoded = decodeStep(bytes, this.#layout, layers, step * rows + row, settings);
          return states[step] ? { ...decoded, state: states[step] } : decoded;
        }),
      );
      results.catch(() => {}); // the process must not crash if nobody awaits the results
      return { position, steps, results };
    });
  }

  async #readStates(trace: GPUBuffer | undefined): Promise<readonly Float32Array[]> {
    if (!trace) return [];
    const { pool, traces } = this.#sources;
    const { stateBytes } = pool;
    const bytes = await traces.read(trace, this.#steps * stateBytes);
    return Array.from(
      { length: this.#steps },
      (_, i) => new Float32Array(bytes, i * stateBytes, stateBytes / 4),
    );
  }
}

/** Byte offsets in the read-back buffer: tokens first, then the measures and log-probabilities if any stream wants them. */
interface ResultLayout {
  readonly measures: number;
  readonly logprobs: number;
  /** Bytes of one place's log-probabilities; 0 if nobody wants any. */
  readonly each: number;
  readonly size: number;
}

/** The number of most likely tokens computed for each stream of a run; 0 if none wants log-probabilities. */
export function logprobEntries(settings: readonly Pick<RunSettings, "logprobs">[]): number {
  const wanted = settings.flatMap(({ logprobs }) => logprobs ?? []);
  return wanted.length === 0 ? 0 : entriesFor(Math.max(...wanted));
}

function resultLayout(
  streams: readonly { readonly settings: Pick<RunSettings, "measure" | "logprobs"> }[],
  steps: number,
  layers: number,
): ResultLayout {
  const places = steps * streams.length;
  const measured = streams.some(({ settings }) => settings.measure);
  const entries = logprobEntries(streams.map(({ settings }) => settings));
  const each = entries > 0 ? logprobsBytes(entries) : 0;
  const measures = 4 * places;
  const logprobs = measures + (measured ? 16 * layers * places : 0);
  return { measures, logprobs, each, size: logprobs + each * places };
}

/** Decodes the step at index `place` of `[steps, rows]`. @throws ResonantError `model` if its logits were not finite */
function decodeStep(
  bytes: ArrayBuffer,
  at: ResultLayout,
  layers: number,
  place: number,
  { measure, logprobs }: RunSettings,
): DecodedStep {
  const token = new Uint32Array(bytes, 4 * place, 1)[0]!;
  if (token === NOT_FINITE) throw notFinite();
  const measures = measure
    ? new Float32Array(bytes, at.measures + 16 * layers * place, 4 * layers)
    : undefined;
  if (logprobs === undefined) return { token, measures };
  return { token, measures, logprobs: decodeLogprobs(bytes, at.logprobs + at.each * place, logprobs) };
}
