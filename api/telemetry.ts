import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { FinishReason } from "../engine/generate.ts";
import { finishReasons } from "./contract.ts";

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
const TOKEN_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

/** What gauges read when they are scraped. */
export interface Gauges {
  running(): number;
  waiting(): number;
  /** Of the streams that run. */
  stateBytes(): number;
  gpuBytes(): number;
  ready(): boolean;
}

/** The server's Prometheus metrics, named as vLLM names its own. */
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

    gauge("num_requests_running", "Generations and searches that run", gauges.running);
    gauge("num_requests_waiting", "Generations and searches in the queue", gauges.waiting);
    gauge("state_bytes", "Bytes of recurrent state of the streams that run", gauges.stateBytes);
    gauge("gpu_bytes", "Bytes of GPU buffers", gauges.gpuBytes);
    gauge("ready", "1 where the model is loaded and requests are taken", () => Number(gauges.ready()));
    this.#requests = counter("http_requests_total", "HTTP requests answered", ["method", "route", "status"]);
    this.#duration = histogram(
      "http_request_duration_seconds",
      "From a request's headers to the end of its answer's body",
      SECONDS,
      ["route"],
    );
    this.#finished = counter(
      "request_success_total",
      "Generations by how they ended; abort: before their end",
      ["finished_reason"],
    );
    this.#promptTokens = counter("prompt_tokens_total", "Prompt tokens");
    this.#reusedTokens = counter(
      "prefix_cache_hits_total",
      "Prompt tokens that were not read again, since a prompt before had them",
    );
    this.#generatedTokens = counter("generation_tokens_total", "Tokens generated");
    this.#queueTime = histogram("request_queue_time_seconds", "From a request to its turn");
    this.#firstToken = histogram("time_to_first_token_seconds", "From a request to its first token");
    this.#interToken = histogram(
      "inter_token_latency_seconds",
      "From a token to the next, as they are handed out",
      TOKEN_SECONDS,
    );
    this.#endToEnd = histogram("e2e_request_latency_seconds", "From a request to its last token");
    collectDefaultMetrics({ register: this.#registry });
  }

  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;

  /** Prometheus's text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  answered(method: string, route: string, status: number, milliseconds: number): void {
    this.#requests.inc({ method, route, status });
    this.#duration.observe({ route }, milliseconds / 1000);
  }

  /** A stopwatch for one generation, started where the request came in. */
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
  /** @param reused of its tokens, those that were not read again */
  prompt(tokens: number, reused: number): void;
  finished(reason: FinishReason): void;
  /** It was not finished: its client left, or an error came. */
  left(): void;
}
