import { setTimeout } from "node:timers/promises";
import { less, more, type Row } from "./harness/row.ts";

export interface ServingBenchOptions {
  /** URL of a server that has no other work and accepts prompts of these lengths. */
  readonly url: string;
  /** Characters of the long prompt during which short requests arrive; a byte-level model reads as many tokens. */
  readonly longPrompt: number;
  /** Characters of the prefix that two prompts share. */
  readonly sharedPrefix: number;
  /** Number of streams that run meanwhile. */
  readonly streams: number;
  /** Number of short requests per figure, one after another. */
  readonly rounds: number;
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Measures the latency that a server's clients see over HTTP: how long a short request waits for its first token, and how
 * long a running stream waits for its next one. Measures both without other load, beside other streams, and while a long
 * prompt is processed; also how much time a shared prefix saves. Percentiles are of single gaps between tokens; tokens that
 * were computed ahead arrive together.
 */
export async function servingBench(options: ServingBenchOptions): Promise<Row[]> {
  const { longPrompt, sharedPrefix, streams, rounds, onProgress } = options;
  const text = letters(longPrompt + sharedPrefix);
  const total = 4 * rounds + 1;
  let done = 0;
  const progress = (): void => onProgress?.(++done, total);
  const short = async (): Promise<number> => {
    const first = await firstToken(options.url, { prompt: "\nROMEO:\n", max_tokens: 4 });
    progress();
    return first;
  };
  await short();
  const alone: number[] = [];
  for (let i = 1; i < rounds; i++) alone.push(await short());

  const leave = new AbortController();
  const running = Array.from(
    { length: streams },
    (_, seed) => new StreamGaps(options.url, seed, leave.signal),
  );
  await Promise.all(running.map((stream) => stream.begun));
  const measure = async (work: () => Promise<number[]>) => {
    for (const stream of running) stream.gaps = [];
    const start = performance.now();
    const firsts = await work();
    const seconds = (performance.now() - start) / 1000;
    return { firsts, gaps: running.flatMap((stream) => stream.gaps), seconds };
  };
  const beside = await measure(async () => {
    const firsts: number[] = [];
    for (let i = 0; i < rounds; i++) firsts.push(await short());
    return firsts;
  });
  const idle = await measure(async () => {
    await setTimeout(beside.seconds * 1000 + 2000);
    return [];
  });
  let long: number | undefined;
  const during = await measure(async () => {
    const fed = firstToken(options.url, { prompt: text.slice(0, longPrompt), max_tokens: 1 }).then((time) => {
      long = time;
    });
    const firsts: number[] = [];
    for (let i = 0; long === undefined; i++) {
      await Promise.race([fed, setTimeout(200)]);
      if (long === undefined && i < 2 * rounds) firsts.push(await short());
    }
    return firsts;
  });
  leave.abort();
  await Promise.all(running.map((stream) => stream.ended));
  if (during.firsts.length === 0)
    throw new Error("the long prompt was processed before a short request arrived");

  const first: number[] = [];
  for (const end of ["\nFirst question", "\nAnother question"]) {
    const prompt = text.slice(longPrompt) + end;
    first.push(await firstToken(options.url, { prompt, max_tokens: 1 }));
  }
  progress();
  const ms = (name: string, value: number): Row => less(name, value, "ms");
  const [before, after] = [quantile(idle.gaps, 0.99), quantile(during.gaps, 0.99)];
  const their = `${streams} streams`;
  const prompt = `a prompt of ${longPrompt.toLocaleString("en")} characters`;
  return [
    ms("first token of a short request, alone", quantile(alone, 0.5)),
    ms(`first token of a short request, beside ${their}`, quantile(beside.firsts, 0.5)),
    ms(`first token of a short request, beside ${their} and ${prompt}, p50`, quantile(during.firsts, 0.5)),
    ms("the same, worst", quantile(during.firsts, 1)),
    ms(`first token of ${prompt}, beside ${their}`, long ?? Number.NaN),
    ms(`between tokens of ${their}, p50`, quantile(idle.gaps, 0.5)),
    ms(`between tokens of ${their}, mean`, mean(idle.gaps)),
    ms(`between tokens of ${their}, p99`, before),
    ms(`between tokens of ${their} beside ${prompt}, p50`, quantile(during.gaps, 0.5)),
    ms(`between tokens of ${their} beside ${prompt}, mean`, mean(during.gaps)),
    ms(`between tokens of ${their} beside ${prompt}, p99`, after),
    less("p99 beside the prompt / without", after / before, "×"),
    ms(
      `first token of a prompt of ${sharedPrefix.toLocaleString("en")} characters and a question`,
      first[0]!,
    ),
    ms("the same prompt with another question", first[1]!),
    more("the first / the second", first[0]! / first[1]!, "×"),
  ];
}

/** Reads a stream until it is aborted, and records the milliseconds between its events. */
class StreamGaps {
  gaps: number[] = [];
  /** Resolves at the first event. */
  readonly begun: Promise<void>;
  readonly ended: Promise<void>;

  constructor(url: string, seed: number, signal: AbortSignal) {
    let begin = (): void => {};
    this.begun = new Promise((resolve) => {
      begin = resolve;
    });
    this.ended = (async () => {
      while (!signal.aborted) {
        const body = { prompt: "\nJULIET:\n", max_tokens: 100_000, temperature: 1, seed };
        let last: number | undefined;
        for await (const moment of eventTimes(url, body, signal)) {
          if (last !== undefined) this.gaps.push(moment - last);
          last = moment;
          begin();
        }
      }
    })().catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
    this.begun = Promise.race([this.begun, this.ended]);
  }
}

/** Reads an answer to its end; returns the milliseconds until its first event. */
async function firstToken(url: string, body: object): Promise<number> {
  const start = performance.now();
  let first: number | undefined;
  for await (const moment of eventTimes(url, { seed: 1, ...body })) first ??= moment - start;
  if (first === undefined) throw new Error("the answer has no token");
  return first;
}

/** Yields the time of each event of a generation, in milliseconds of `performance.now()`. */
async function* eventTimes(
  url: string,
  body: object,
  signal?: AbortSignal,
): AsyncGenerator<number, void, undefined> {
  const response = await fetch(`${url}/v1/generate`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...body, stream: true }),
    ...(signal ? { signal } : {}),
  });
  if (!response.ok || !response.body) throw new Error(`${response.status}: ${await response.text()}`);
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(bytes, { stream: true });
    const events = text.split("\n\n");
    text = events.pop()!;
    for (const event of events) {
      if (event.startsWith("event: error")) throw new Error(event);
      if (event.startsWith("data:")) yield performance.now();
    }
  }
}

/** Returns a random text that no prefix cache has seen. */
const letters = (length: number): string =>
  String.fromCharCode(...Array.from({ length }, () => 97 + Math.floor(26 * Math.random())));

const quantile = (values: readonly number[], share: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
};

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;
