import { setMaxListeners } from "node:events";
import type { GenerateOptions, Piece } from "../engine/generate.ts";
import type { Model } from "../engine/model.ts";
import type { RetrievalMode } from "../engine/retrieval/retrieval-model.ts";
import { samplingOptions } from "../engine/sampling-options.ts";
import packageJson from "../package.json" with { type: "json" };
import { Admission } from "./admission.ts";
import { BodyBudget } from "./body-budget.ts";
import { ApiError, ClientLeft } from "./errors.ts";
import { Heartbeat } from "./heartbeat.ts";
import type { Logger } from "./log.ts";
import { Merge, type Merged } from "./merge.ts";
import { Readers } from "./readers.ts";
import type { Limits } from "./schemas/limits.ts";
import { memoryStore } from "./sessions/open-store.ts";
import type { SessionStore } from "./sessions/session-store.ts";
import type { Settings } from "./settings.ts";
import { StateTokens } from "./state-token.ts";
import { type AbortCause, type GenerationTimer, Telemetry } from "./telemetry.ts";

export type Status = "healthy" | "loading" | "draining" | "unhealthy";

/** A generation to run. */
export interface Job {
  readonly prompt: string | readonly number[];
  readonly options: GenerateOptions;
  /** A state file to continue from. */
  readonly state?: Uint8Array<ArrayBuffer> | undefined;
  readonly returnState?: boolean;
}

/** The last piece also has the time taken, and the state and its number of tokens if they were requested. */
export interface JobPiece extends Piece {
  readonly milliseconds?: number;
  readonly state?: Uint8Array<ArrayBuffer>;
  /** The number of tokens that the state has read. */
  readonly position?: number;
}

/** Serves one model: admits and runs generations, and holds the server's log, metrics, states and sessions. */
export class Service {
  readonly settings: Settings;
  readonly log: Logger;
  readonly admission: Admission;
  /** Memory for the bodies of requests. */
  readonly bodies: BodyBudget;
  /** Those who read streams of events. */
  readonly readers: Readers;
  readonly telemetry: Telemetry;
  readonly states: StateTokens;
  readonly sessions: SessionStore;
  readonly version = packageJson.version;
  readonly started = Date.now();
  #model: Model | undefined;
  #limits: Limits | undefined;
  #heartbeat: Heartbeat | undefined;
  readonly #drain = new AbortController();
  /** The requests under way, by what aborts them. */
  readonly requests = new Set<AbortController>();

  constructor(settings: Settings, log: Logger, sessions = memoryStore(settings)) {
    this.settings = settings;
    this.log = log;
    const { maxBatchSize, maxQueueSize, maxStreams } = settings;
    this.admission = new Admission({
      running: maxBatchSize,
      together: maxBatchSize,
      requests: maxQueueSize,
      choices: maxStreams,
    });
    this.bodies = new BodyBudget(settings.bodyMemoryBytes);
    this.readers = new Readers(settings);
    this.sessions = sessions;
    this.states = new StateTokens({ secret: settings.stateSecret, ttl: settings.stateTtl });
    this.telemetry = new Telemetry({
      running: () => this.admission.running,
      waiting: () => this.admission.waiting,
      stateBytes: () => {
        const model = this.#model;
        return model ? model.streams.open * model.facts.stateBytes : 0;
      },
      gpuBytes: () => this.#model?.gpu.bytes ?? 0,
      ready: () => this.status === "healthy",
    });
  }

  get status(): Status {
    if (this.fault !== undefined) return "unhealthy";
    if (this.draining) return "draining";
    return this.#model ? "healthy" : "loading";
  }

  /** Why the engine is dead; undefined if it is alive. */
  get fault(): string | undefined {
    return this.#heartbeat?.fault(this.settings.heartbeatTimeout);
  }

  get loaded(): boolean {
    return this.#model !== undefined;
  }

  get draining(): boolean {
    return this.#drain.signal.aborted;
  }

  /** Aborted when the server begins to drain, with the error for requests that are not admitted yet. */
  get drained(): AbortSignal {
    return this.#drain.signal;
  }

  /**
   * Whether a stream that is not read is set aside, so that it holds no slot. Where it is not, it is computed to its end for
   * a reader that is slow.
   */
  get parks(): boolean {
    return false;
  }

  /** Accepts requests for `model` from now on. */
  serve(model: Model): void {
    this.#model = model;
    this.#heartbeat = new Heartbeat(model.gpu);
    this.#limits = limitsOf(this.settings, model);
  }

  /** Stops accepting requests; admitted ones continue. */
  drain(): void {
    this.#drain.abort(shuttingDown());
  }

  /** Ends every request that is still under way, with an error for its client. */
  cutOff(): void {
    for (const request of this.requests) request.abort(shuttingDown());
  }

  close(): void {
    this.#heartbeat?.stop();
    this.#model?.gpu.destroy();
    this.sessions.close();
  }

  /** The served model. @throws ApiError `resource_error` while the model is loading or the server is shutting down */
  get model(): Model {
    if (this.draining) throw shuttingDown();
    if (!this.#model) throw new ApiError("resource_error", "the model is still loading", { headers: SOON });
    return this.#model;
  }

  /** The limits of requests. Before the model is loaded, these are the limits of the settings. */
  get limits(): Limits {
    return this.#limits ?? limitsOf(this.settings, undefined);
  }

  /** Runs `work`, of a request of one choice, when its turn has come. */
  async *inTurn<T>(
    client: string,
    signal: AbortSignal,
    work: (timer: GenerationTimer) => AsyncGenerator<T, void, undefined>,
  ): AsyncGenerator<T, void, undefined> {
    const timer = this.telemetry.generation();
    const end = await this.admission.turn(client, signal);
    try {
      timer.admitted();
      yield* work(timer);
    } finally {
      end();
    }
  }

  /**
   * Runs a request of `count` choices, each when its turn has come, and yields what they yield as it arrives.
   * @param work runs a choice; its signal is aborted with the request's, and when another choice has failed
   * @throws ApiError as {@link Admission.admit}
   */
  choices<T>(
    client: string,
    gone: AbortSignal,
    count: number,
    work: (index: number, timer: GenerationTimer, signal: AbortSignal) => AsyncGenerator<T, void, undefined>,
  ): AsyncGenerator<Merged<T>, void, undefined> {
    const { telemetry } = this;
    const came = performance.now();
    const ended = new AbortController();
    const signal = AbortSignal.any([gone, ended.signal]);
    setMaxListeners(0, signal); // those of each choice; this is not a leak
    const merge = new Merge<T>(count, signal, () => {
      places.leave();
      ended.abort(new Error("the other generations of this request have ended"));
    });
    const inPlace = async function* (index: number, end: () => void) {
      const timer = telemetry.generation(came);
      try {
        timer.admitted();
        yield* work(index, timer, signal);
      } finally {
        end();
      }
    };
    const places = this.admission.admit(client, count, (index, end) =>
      merge.begin(index, inPlace(index, end)),
    );
    return merge.items();
  }

  /** Runs a generation on a new stream. */
  async *generate(
    model: Model,
    job: Job,
    timer: GenerationTimer,
    signal: AbortSignal,
    client: string,
  ): AsyncGenerator<JobPiece, void, undefined> {
    const start = performance.now();
    const stream = job.state ? await model.restore(job.state) : model.open();
    let finished = false;
    try {
      const options = { ...job.options, stream, signal, client, keepPending: job.returnState === true };
      for await (const piece of model.generate(job.prompt, options)) {
        if (piece.token !== undefined) timer.token();
        if (!piece.finish) {
          yield piece;
          continue;
        }
        timer.prompt(piece.finish.promptTokens, piece.finish.reusedTokens);
        timer.finished(piece.finish.reason);
        finished = true;
        const milliseconds = performance.now() - start;
        const { position } = stream;
        const state = job.returnState ? { state: await model.save(stream), position } : {};
        yield { ...piece, milliseconds, ...state };
      }
    } finally {
      if (!finished) timer.aborted(abortCause(signal, this.draining));
      stream.close();
    }
  }
}

/** Tells what ended a generation early. */
function abortCause({ reason }: AbortSignal, draining: boolean): AbortCause {
  if (reason instanceof ClientLeft) return "client";
  if (!(reason instanceof ApiError)) return "error";
  return draining ? "shutdown" : "client"; // one who read too slowly
}

const SOON = { "Retry-After": "5" };

const shuttingDown = (): ApiError =>
  new ApiError("resource_error", "the server is shutting down", { headers: SOON });

/** Bytes of a state file besides the recurrent state and the counts: names, held-back text, signature. */
const STATE_EXTRAS = 64 * 1024;

function limitsOf(settings: Settings, model: Model | undefined): Limits {
  const { maxChoices } = settings;
  const vocabulary = model?.facts.vocabulary ?? 2 ** 31;
  const stateBytes = model ? model.facts.stateBytes + 8 * vocabulary + STATE_EXTRAS : 2 ** 20;
  return {
    model: model?.name,
    maxTokens: settings.maxTokensLimit,
    promptChars: settings.maxPromptChars,
    contextChars: settings.maxContextChars,
    choices: settings.maxQueueSize > 0 ? maxChoices : Math.min(maxChoices, settings.maxBatchSize),
    stateChars: Math.ceil((stateBytes * 4) / 3),
    vocabulary,
    chat: model ? model.chatTemplate !== undefined : true,
    readoutScale: model && !model.alignment ? 0 : samplingOptions.readoutScale.most,
    retrievalModes: model ? retrievalModes(model) : ["pvm", "plm", "hybrid"],
  };
}

/** The list must not be empty: for a model without a memory it has one mode, which the model then refuses. */
function retrievalModes({ facts }: Model): readonly [RetrievalMode, ...RetrievalMode[]] {
  const [first = "pvm", ...others] = facts.retrievalModes;
  return [first, ...others];
}
