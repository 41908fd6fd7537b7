import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

/** Gauges of Node's that are called `…_total`, which only a counter may be. What they tell is in `nodejs_active_…`. */
const MISNAMED = [
  "nodejs_active_handles_total",
  "nodejs_active_requests_total",
  "nodejs_active_resources_total",
];

/** A format of the metrics: Prometheus's text, or OpenMetrics. */
export type MetricsFormat = "text" | "openmetrics";

export const metricsTypes = {
  text: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
} as const satisfies Readonly<Record<MetricsFormat, string>>;

/**
 * The metrics of one server, and those of its process. Names are given without `resonant_`. They end in a base unit
 * (`_seconds`, `_bytes`) where they have one, counters in `_total`; `promtool check metrics` holds this in the tests.
 */
export class Metrics {
  readonly #registry = new Registry();

  constructor() {
    collectDefaultMetrics({ register: this.#registry });
    for (const name of MISNAMED) this.#registry.removeSingleMetric(name);
  }

  /** Adds a value that is read at each scrape. */
  gauge(name: string, help: string, read: () => number): void {
    new Gauge({
      ...this.#named(name, help),
      collect() {
        this.set(read());
      },
    });
  }

  /** Adds values that are read at each scrape, by the value of `label`. One that is no longer read is no longer shown. */
  gauges(name: string, help: string, label: string, read: () => Iterable<readonly [string, number]>): void {
    new Gauge({
      ...this.#named(name, help),
      labelNames: [label],
      collect() {
        this.reset();
        for (const [value, number] of read()) this.set({ [label]: value }, number);
      },
    });
  }

  counter<T extends string = never>(name: string, help: string, labelNames: T[] = []): Counter<T> {
    return new Counter({ ...this.#named(name, help), labelNames });
  }

  histogram<T extends string = never>(
    name: string,
    help: string,
    buckets: number[],
    labelNames: T[] = [],
  ): Histogram<T> {
    return new Histogram({ ...this.#named(name, help), buckets, labelNames });
  }

  #named(name: string, help: string) {
    return { name: `resonant_${name}`, help, registers: [this.#registry] };
  }

  /** Returns all metrics. */
  async write(format: MetricsFormat): Promise<string> {
    const text = await this.#registry.metrics();
    return format === "text" ? text : asOpenMetrics(text);
  }
}

/**
 * Converts Prometheus's text format: OpenMetrics names a family of counters without `_total`, has no empty lines, and an end.
 * (prom-client's own OpenMetrics renames its counters for good, so that the text format is wrong afterwards.)
 */
const asOpenMetrics = (text: string): string =>
  `${text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.replace(/^(# (?:HELP|TYPE) \S+)_total /, "$1 "))
    .join("\n")}\n# EOF\n`;
