import { ResonantError } from "../../common/errors.ts";
import type { Dispatch } from "../../kernels/kernel.ts";
import type { StreamPlace } from "../../kernels/run.ts";
import type { ReadoutBias } from "../alignment/readout-bias.ts";
import type { Gpu } from "../device/gpu.ts";
import { submitAll } from "../device/submissions.ts";
import type { Network } from "../network.ts";
import type { Activations } from "./activations.ts";
import { PassOutputs } from "./pass-outputs.ts";

/** Further inputs of a pass over given tokens. */
export interface FeedOptions {
  /** λ of the readout's logit bias (SPEC §5), for every row. Default 0: none. */
  readonly readoutScale?: number | undefined;
  /** `[rows]`: tokens written to `results`, for kernels that compute the probability of given tokens. */
  readonly targets?: Uint32Array<ArrayBuffer> | undefined;
}

/** Submits passes over given tokens in one set of activations, one pass after another. */
export class TokenFeed {
  readonly #gpu: Gpu;
  readonly #network: Network;
  readonly #activations: Activations;
  readonly #bias: ReadoutBias;
  #outputs: PassOutputs | undefined;

  constructor(gpu: Gpu, network: Network, activations: Activations, bias: ReadoutBias) {
    this.#gpu = gpu;
    this.#network = network;
    this.#activations = activations;
    this.#bias = bias;
  }

  /**
   * Submits `list` over `tokens`: consecutive parts of equal length, one for each of `streams`. Ends the outputs of the
   * previous pass.
   * @throws ResonantError `invalid_argument` if a stream would exceed the positions of the model
   */
  submit(
    list: readonly Dispatch[],
    streams: readonly StreamPlace[],
    tokens: ArrayLike<number>,
    { readoutScale = 0, targets }: FeedOptions = {},
  ): PassOutputs {
    const gpu = this.#gpu;
    const a = this.#activations;
    const { config, weights } = this.#network;
    const length = tokens.length / streams.length;
    const end = Math.max(...streams.map(({ position }) => position + length));
    if (config.positions !== null && end > config.positions) {
      const message = `${end} tokens, but the model has ${config.positions} positions`;
      throw new ResonantError("invalid_argument", message);
    }
    gpu.assertAlive();
    this.end();
    const run = a.prepare(weights.blocks, streams, length);
    a.setTokens(tokens);
    if (targets) gpu.device.queue.writeBuffer(a.results, 0, targets);
    if (readoutScale) this.#bias.setScales(a, new Array(run.rows).fill(readoutScale));
    submitAll(gpu, list, run);
    this.#outputs = new PassOutputs(gpu, a);
    return this.#outputs;
  }

  /** Ends the outputs of the last pass, since other work uses the activations now. */
  end(): void {
    this.#outputs?.end();
  }
}
