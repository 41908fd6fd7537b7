import { decodeLogprobs, LOGPROBS_BYTES } from "../../kernels/logprobs/logprobs.ts";
import { NOT_FINITE } from "../../kernels/sample/sample.ts";
import type { Gpu } from "../device/gpu.ts";
import type { MemoryCount } from "../device/memory.ts";
import type { StatePool } from "../state/state-pool.ts";
import type { Activations } from "./activations.ts";
import {
  type BatchRow,
  type DecodedStep,
  type DecodeRun,
  notFinite,
  type RunSettings,
} from "./decode-run.ts";
import { ReadBackPool } from "./read-back.ts";

/** A read-back buffer for one stream's states in one run; undefined: nobody asks for them. */
type StateTrace = GPUBuffer | undefined;

/** Where results lie, and what they are read back through. */
interface Sources {
  readonly activations: Activations;
  readonly pool: StatePool;
  readonly staging: ReadBackPool;
  readonly traces: ReadBackPool;
}

/** Reads back what decode runs drew. Every run in flight has buffers of its own. */
export class DecodeResults {
  readonly #sources: Sources;

  constructor(gpu: Gpu, activations: Activations, pool: StatePool, memory: MemoryCount) {
    const { rows, steps, layers } = activations;
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    const buffers = (label: string, size: number): ReadBackPool =>
      new ReadBackPool(gpu, () => memory.of("staging", () => gpu.buffer(label, size, usage)));
    const everything = { settings: { measure: true, logprobs: 0 } };
    const { size } = resultLayout(new Array(rows).fill(everything), steps, layers);
    this.#sources = {
      activations,
      pool,
      staging: buffers("sampled tokens", size),
      traces: buffers("traced states", steps * pool.stateBytes),
    };
  }

  /** Makes the buffer that a first run needs. */
  reserve(): void {
    this.#sources.staging.reserve();
  }

  /** Takes buffers for a run of `streams`. */
  open(streams: readonly BatchRow[], steps: number): OpenResults {
    return new OpenResults(this.#sources, streams, steps);
  }
}

/** The results of one run: copied while it is recorded, and read when it is submitted. */
export class OpenResults {
  /** Whether any stream's states are asked for. */
  readonly traced: boolean;
  readonly #sources: Sources;
  readonly #streams: readonly BatchRow[];
  readonly #steps: number;
  readonly #traces: readonly StateTrace[];
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

  /** Records copies of the streams' states as they are after step `step`. */
  recordStates(encoder: GPUCommandEncoder, step: number): void {
    const { state, stateBytes } = this.#sources.pool;
    this.#traces.forEach((trace, i) => {
      if (!trace) return;
      const from = this.#streams[i]!.slot * stateBytes;
      encoder.copyBufferToBuffer(state, from, trace, step * stateBytes, stateBytes);
    });
  }

  /** Records copies of everything else, after the last step. */
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

  /** Reads everything back. Call it once, when the run is submitted. */
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
      results.catch(() => {}); // a run whose results nobody awaits any more must not crash the process
      return { position, steps, results };
    });
  }

  async #readStates(trace: StateTrace): Promise<readonly Float32Array[]> {
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

/** Where a run's results lie when they are read back, in bytes: the tokens first, then what any stream asks for. */
interface ResultLayout {
  readonly measures: number;
  readonly logprobs: number;
  readonly size: number;
}

function resultLayout(
  streams: readonly { readonly settings: Pick<RunSettings, "measure" | "logprobs"> }[],
  steps: number,
  layers: number,
): ResultLayout {
  const places = steps * streams.length;
  const measured = streams.some(({ settings }) => settings.measure);
  const withLogprobs = streams.some(({ settings }) => settings.logprobs !== undefined);
  const measures = 4 * places;
  const logprobs = measures + (measured ? 16 * layers * places : 0);
  return { measures, logprobs, size: logprobs + (withLogprobs ? LOGPROBS_BYTES * places : 0) };
}

/** The step at `place` of `[steps, rows]`. @throws ResonantError `model` if its logits were not finite */
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
  return { token, measures, logprobs: decodeLogprobs(bytes, at.logprobs + LOGPROBS_BYTES * place, logprobs) };
}
