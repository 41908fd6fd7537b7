import type { Counter, Histogram } from "prom-client";
import type { FinishReason } from "../engine/generate.ts";
import { finishReasons } from "./contract.ts";
import { Metrics } from "./metrics.ts";

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
const TOKEN_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

/** The values that the gauges read at each scrape. */
export interface Gauges {
  running(): number;
  waiting(): number;
  /** Bytes of recurrent state of all open streams. */
  stateBytes(): number;
  gpuBytes(): number;
  ready(): boolean;
}

/** Why a generation has no end: its client disconnected, the server shut down, or there was an error. */
export type AbortCause = "client" | "shutdown" | "error";

/** What a server counts and measures of its requests. Where they fit, the names are vLLM's. */
export class Telemetry {
  /** All metrics; whoever has more to tell adds them here. */
  readonly metrics = new Metrics();
  readonly #requests: Counter<"method" | "route" | "status">;
  readonly #duration: Histogram<"route">;
  readonly #finished: Counter<"reason">;
  readonly #aborted: Counter<"cause">;
  readonly #promptTokens: Counter;
  readonly #reusedTokens: Counter;
  readonly #generatedTokens: Counter;
  readonly #queueTime: Histogram;
  readonly #firstToken: Histogram;
  readonly #interToken: Histogram;
  readonly #endToEnd: Histogram;

  constructor(gauges: Gauges) {
    const { metrics } = this;
    metrics.gauge("num_requests_running", "Running generations and searches", gauges.running);
    metrics.gauge("num_requests_waiting", "Generations and searches that wait in the queue", gauges.waiting);
    metrics.gauge("state_bytes", "Bytes of recurrent state of all running streams", gauges.stateBytes);
    metrics.gauge("gpu_bytes", "Bytes of GPU buffers", gauges.gpuBytes);
    metrics.gauge("ready", "1 if the model is loaded and the server accepts requests, else 0", () =>
      Number(gauges.ready()),
    );
    this.#requests = metrics.counter("http_requests_total", "HTTP requests answered", [
      "method",
      "route",
      "status",
    ]);
    this.#duration = metrics.histogram(
      "http_request_duration_seconds",
      "Time from a request's headers to the end of its answer",
      SECONDS,
      ["route"],
    );
    this.#finished = metrics.counter("requests_finished_total", "Finished generations, by why they ended", [
      "reason",
    ]);
    this.#aborted = metrics.counter(
      "requests_aborted_total",
      "Generations that did not finish, by what aborted them",
      ["cause"],
    );
    this.#promptTokens = metrics.counter("prompt_tokens_total", "Prompt tokens");
    this.#reusedTokens = metrics.counter(
      "prefix_cache_hits_total",
      "Prompt tokens that were taken from the prefix cache",
    );
    this.#generatedTokens = metrics.counter("generation_tokens_total", "Tokens generated");
    this.#queueTime = metrics.histogram(
      "request_queue_time_seconds",
      "Time from a request until it runs",
      SECONDS,
    );
    this.#firstToken = metrics.histogram(
      "time_to_first_token_seconds",
      "Time from a request to its first token",
      SECONDS,
    );
    this.#interToken = metrics.histogram(
      "inter_token_latency_seconds",
      "Time between two tokens of a generation",
      TOKEN_SECONDS,
    );
    this.#endToEnd = metrics.histogram(
      "e2e_request_latency_seconds",
      "Time from a request to its last token",
      SECONDS,
    );
  }

  answered(method: string, route: string, status: number, milliseconds: number): void {
    this.#requests.inc({ method, route, status });
    this.#duration.observe({ route }, milliseconds / 1000);
  }

  /** Starts a timer for one generation, whose request came at `start`. */
  generation(start = performance.now()): GenerationTimer {
    let last: number | undefined;
    const since = (moment: number): number => (performance.now() - moment) / 1000;
    return {
      admitted: () => this.#queueTime.observe(since(start)),
      token: () => {
        if (last === undefined) this.#firstToken.observe(since(start));
        else this.#interToken.observe(since(last));
        last = performance.now();
        this.#generatedTokens.inc();
      },
      prompt: (tokens, reused) => {
        this.#promptTokens.inc(tokens);
        this.#reusedTokens.inc(reused);
      },
      aborted: (cause) => this.#aborted.inc({ cause }),
      finished: (reason) => {
        this.#finished.inc({ reason: finishReasons[reason] });
        this.#endToEnd.observe(since(start));
      },
    };
  }
}

export interface GenerationTimer {
  admitted(): void;
  token(): void;
  /** @param reused the number of prompt tokens that were taken from the prefix cache */
  prompt(tokens: number, reused: number): void;
  finished(reason: FinishReason): void;
  aborted(cause: AbortCause): void;
}
