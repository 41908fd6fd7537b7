import type { RunShape } from "../../kernels/kernel.ts";
import { encodeSampling, isGreedy, SAMPLING_BYTES } from "../../kernels/sample/sample.ts";
import { Submissions } from "../device/submissions.ts";
import type { SavedStates } from "../state/saved-states.ts";
import type { Activations } from "./activations.ts";
import type { DecodeLists, DecodePasses } from "./decode-passes.ts";
import { DecodeResults, logprobEntries } from "./decode-results.ts";
import type { BatchRow, DecodeRun, RunSettings } from "./decode-run.ts";
import type { PassContext } from "./pass-context.ts";
import type { PassOutputs } from "./pass-outputs.ts";
import { TokenFeed } from "./token-feed.ts";

/** Submits runs of decode steps, and reads back their results. */
export class DecodeRuns {
  readonly activations: Activations;
  readonly #on: PassContext;
  readonly #passes: DecodePasses;
  readonly #snapshots: SavedStates;
  readonly #results: DecodeResults;
  readonly #feed: TokenFeed;

  constructor(on: PassContext, passes: DecodePasses, snapshots: SavedStates) {
    const { gpu, network, pool, bias, memory } = on;
    this.activations = passes.activations;
    this.#on = on;
    this.#passes = passes;
    this.#snapshots = snapshots;
    this.#results = new DecodeResults(gpu, passes.activations, pool, memory);
    this.#feed = new TokenFeed(gpu, network, passes.activations, bias);
  }

  /** Allocates the GPU memory of the first run now. */
  reserve(): void {
    this.#results.reserve();
  }

  /** See `Runner.batch`. */
  submit(streams: readonly BatchRow[], steps: number): DecodeRun[] {
    const { gpu, pool } = this.#on;
    const a = this.activations;
    const { step } = this.#lists(streams.map(({ settings }) => settings));
    const run = this.#prepare(streams, steps, -1);
    const results = this.#results.open(streams, steps);
    const submissions = new Submissions(gpu);
    submissions.copy((encoder) => {
      for (const { slot, snapshot } of streams) {
        if (snapshot !== undefined) this.#snapshots.record(encoder, slot, snapshot);
      }
      for (const { slot, row, count } of neighbours(streams)) {
        encoder.copyBufferToBuffer(pool.pending, 4 * slot, a.tokens, 4 * row, 4 * count);
      }
      this.#passes.adjustments.record(encoder, streams);
    });
    if (results.traced) {
      for (let at = 0; at < steps; at++) {
        submissions.dispatch(step, run);
        submissions.copy((encoder) => results.recordStates(encoder, at));
      }
    } else {
      submissions.dispatch(Array.from({ length: steps }, () => step).flat(), run);
    }
    submissions.copy((encoder) => {
      this.#recordPending(encoder, streams);
      results.record(encoder);
    });
    submissions.end();
    return results.read();
  }

  /**
   * Draws the next token of each of `streams` from row `row` of the pass that fed the end of their prompt.
   * @param streams each at the position of the last token of the prompt
   */
  drawAfter(prompt: PassOutputs, row: number, streams: readonly BatchRow[]): DecodeRun[] {
    const { gpu, bias, network } = this.#on;
    const step = this.activations;
    const settings = streams.map((stream) => stream.settings);
    const { head } = this.#lists(settings);
    const run = this.#prepare(streams, 1, 0);
    const results = this.#results.open(streams, 1);
    gpu.submit((encoder) => {
      const a = prompt.activations;
      const copyRow = (from: GPUBuffer, to: GPUBuffer, bytes: number): void => {
        for (const i of streams.keys()) encoder.copyBufferToBuffer(from, row * bytes, to, i * bytes, bytes);
      };
      const rowBytes = 4 * network.weights.shape.size;
      copyRow(a.h, step.h, rowBytes);
      if (this.#biased(settings)) copyRow(bias.buffers(a).readouts, bias.buffers(step).readouts, rowBytes);
      if (settings.some(({ measure }) => measure)) copyRow(a.metrics, step.metrics, 16 * step.layers);
      this.#passes.adjustments.record(encoder, streams);
      gpu.record(encoder, head, run);
      results.recordStates(encoder, 0);
      this.#recordPending(encoder, streams);
      results.record(encoder);
    });
    return results.read();
  }

  /** Feeds one given token and draws none. The outputs hold its logits `[V]`, and its metrics if `measure` is set. */
  feedToken(
    slot: number,
    position: number,
    token: number,
    measure: boolean,
    readoutScale: number,
  ): PassOutputs {
    const bias = this.#on.bias.applies(readoutScale);
    const { logits } = this.#passes.lists({ measure, bias, greedy: false, logprobs: 0 });
    return this.#feed.submit(logits, [{ slot, position }], [token], { readoutScale });
  }

  #biased(settings: readonly RunSettings[]): boolean {
    // Checks every scale, so that an invalid one is refused whatever the order of the streams.
    return settings.filter(({ readoutScale }) => this.#on.bias.applies(readoutScale)).length > 0;
  }

  #lists(settings: readonly RunSettings[]): DecodeLists {
    const variant = {
      measure: settings.some((each) => each.measure),
      bias: this.#biased(settings),
      greedy: settings.every((each) => isGreedy(each.sampling.temperature)),
      logprobs: logprobEntries(settings),
      adjusted: settings.some((each) => each.adjustment),
    };
    return this.#passes.lists(variant, settings.length);
  }

  /** Writes the schedule, the sampling settings and the readout scales of a run. */
  #prepare(streams: readonly BatchRow[], steps: number, firstStep: -1 | 0): RunShape {
    const { gpu, bias, network } = this.#on;
    const a = this.activations;
    gpu.assertAlive();
    this.#feed.end();
    const run = a.prepare(network.weights.blocks, streams, 1, steps, firstStep);
    const sampling = new Uint8Array(streams.length * SAMPLING_BYTES);
    streams.forEach(({ settings }, row) => {
      // The adjustment applies the repetition penalty itself, between its own parts.
      const own = settings.adjustment ? { ...settings.sampling, repetitionPenalty: 1 } : settings.sampling;
      sampling.set(new Uint8Array(encodeSampling(own)), row * SAMPLING_BYTES);
    });
    if (streams.some(({ settings }) => settings.adjustment)) this.#passes.adjustments.prepare(streams);
    gpu.device.queue.writeBuffer(a.sampling, 0, sampling);
    const settings = streams.map((stream) => stream.settings);
    if (this.#biased(settings)) {
      bias.setScales(
        a,
        settings.map(({ readoutScale }) => readoutScale ?? 0),
      );
    }
    return run;
  }

  /** Records copies of the last drawn tokens to the pending tokens, where the next run reads them. */
  #recordPending(encoder: GPUCommandEncoder, streams: readonly BatchRow[]): void {
    for (const { slot, row, count } of neighbours(streams)) {
      const { pending } = this.#on.pool;
      encoder.copyBufferToBuffer(this.activations.tokens, 4 * row, pending, 4 * slot, 4 * count);
    }
  }
}

/** Groups consecutive rows whose streams are in adjacent slots, so that one copy serves each group. */
function neighbours(
  streams: readonly { readonly slot: number }[],
): { readonly slot: number; readonly row: number; count: number }[] {
  const groups: { slot: number; row: number; count: number }[] = [];
  streams.forEach(({ slot }, row) => {
    const last = groups.at(-1);
    if (last && slot === last.slot + last.count) last.count++;
    else groups.push({ slot, row, count: 1 });
  });
  return groups;
}
