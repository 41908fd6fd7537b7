import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { FinishReason } from "../engine/generate.ts";
import { finishReasons } from "./contract.ts";

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

/** The server's Prometheus metrics. Their names follow vLLM's. */
export class Telemetry {
  readonly #registry = new Registry();
  readonly #requests: Counter<"method" | "route" | "status">;
  readonly #duration: Histogram<"route">;
  readonly #finished: Counter<"finished_reason">;
  readonly #promptTokens: Counter;
  readonly #reusedTokens: Counter;
  readonly #generatedTokens: Counter;
  readonly #queueTime: Histogram;
  readonly #firstToken: Histogram;
  readonly #interToken: Histogram;
  readonly #endToEnd: Histogram;

  constructor(gauges: Gauges) {
    const registers = [this.#registry];
    const gauge = (name: string, help: string, read: () => number): void => {
      new Gauge({
        name: `resonant:${name}`,
        help,
        registers,
        collect() {
          this.set(read());
        },
      });
    };
    const counter = <T extends string = never>(name: string, help: string, labelNames: T[] = []) =>
      new Counter({ name: `resonant:${name}`, help, labelNames, registers });
    const histogram = <T extends string = never>(
      name: string,
      help: string,
      buckets = SECONDS,
      labelNames: T[] = [],
    ) => new Histogram({ name: `resonant:${name}`, help, buckets, labelNames, registers });

    gauge("num_requests_running", "Running generations and searches", gauges.running);
    gauge("num_requests_waiting", "Generations and searches waiting in the queue", gauges.waiting);
    gauge("state_bytes", "Bytes of recurrent state of all running streams", gauges.stateBytes);
    gauge("gpu_bytes", "Bytes of GPU buffers", gauges.gpuBytes);
    gauge("ready", "1 if the model is loaded and the server accepts requests, else 0", () =>
      Number(gauges.ready()),
    );
    this.#requests = counter("http_requests_total", "HTTP requests answered", ["method", "route", "status"]);
    this.#duration = histogram(
      "http_request_duration_seconds",
      "Time from a request's headers to the end of its answer",
      SECONDS,
      ["route"],
    );
    this.#finished = counter(
      "request_success_total",
      "Generations by the reason they ended; abort: interrupted",
      ["finished_reason"],
    );
    this.#promptTokens = counter("prompt_tokens_total", "Prompt tokens");
    this.#reusedTokens = counter(
      "prefix_cache_hits_total",
      "Prompt tokens that were taken from the prefix cache",
    );
    this.#generatedTokens = counter("generation_tokens_total", "Tokens generated");
    this.#queueTime = histogram("request_queue_time_seconds", "Time from a request until it runs");
    this.#firstToken = histogram("time_to_first_token_seconds", "Time from a request to its first token");
    this.#interToken = histogram(
      "inter_token_latency_seconds",
      "Time between two tokens of a generation",
      TOKEN_SECONDS,
    );
    this.#endToEnd = histogram("e2e_request_latency_seconds", "Time from a request to its last token");
    collectDefaultMetrics({ register: this.#registry });
  }

  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;

  /** Returns all metrics in Prometheus's text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  answered(method: string, route: string, status: number, milliseconds: number): void {
    this.#requests.inc({ method, route, status });
    this.#duration.observe({ route }, milliseconds / 1000);
  }

  /** Starts a timer for one generation. */
  generation(): GenerationTimer {
    const start = performance.now();
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
      left: () => this.#finished.inc({ finished_reason: "abort" }),
      finished: (reason) => {
        this.#finished.inc({ finished_reason: finishReasons[reason] });
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
  /** The generation did not finish: the client disconnected, or an error occurred. */
  left(): void;
}
