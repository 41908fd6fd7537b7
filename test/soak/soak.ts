import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { oneOf, seeded } from "../../bench/random.ts";
import { answerOf } from "./checks.ts";
import { Client } from "./client.ts";
import { flows, type Recorded, type RecordedSession, type Recording } from "./flows.ts";
import { type Ask, jsonOf, type Reply, send } from "./http.ts";
import { Ledger } from "./ledger.ts";
import { MOST_BODY_BYTES } from "./refusals.ts";
import { type Known, knownRequests, prose } from "./requests.ts";
import { ServerProcess } from "./server-process.ts";
import { sessionFlow } from "./session-flow.ts";

export interface SoakOptions {
  /** How often the clients do each activity before measuring. */
  readonly warmUp: number;
  readonly minutes: number;
  readonly clients: number;
  readonly seed: number;
  /** Folder or name of the model. */
  readonly model: string;
}

/** The memory of the server at one moment. */
export interface Sample {
  readonly resident: number;
  readonly heap: number;
  readonly external: number;
  readonly gpu: number;
}

export interface SoakReport {
  readonly ledger: Ledger;
  /** The clients' activities, and how often they did each. */
  readonly flows: ReadonlyMap<string, number>;
  readonly warmUpSeconds: number;
  /** One sample per second. */
  readonly samples: readonly Sample[];
  /** Resources in use after all clients have ended. */
  readonly taken: Readonly<Record<string, number | undefined>>;
  /** The recorded requests that have another answer when repeated at the end. */
  readonly changed: readonly string[];
  /** The server's log without information. */
  readonly complaints: readonly string[];
  readonly exitCode: number | null;
}

const KEYS = ["a-key-of-the-soak", "another-key", "a-third-key"];
const PLACES = 16;
/** Length of the queue, too short for all requests of the clients. */
const QUEUE = 48;
const KNOWN = 54;
/** Maximum seconds of the warm-up, even if some activities have not been done. */
const MOST_WARM_UP = 240;

/** Runs clients that use all features of a server and check every answer. */
export async function soak({
  warmUp,
  minutes,
  clients: count,
  seed,
  model,
}: SoakOptions): Promise<SoakReport> {
  const settings = {
    "max-batch-size": PLACES,
    "max-queue-size": QUEUE,
    "max-body-bytes": MOST_BODY_BYTES,
    "api-keys": KEYS.join(),
    "state-secret": "a secret of the soak",
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const server = await ServerProcess.start(["--model", model, ...flags]);
  let end = Number.POSITIVE_INFINITY;
  try {
    const recording = await record(server.url);
    const all = Object.entries(
      recording.sessions.length > 0 ? { ...flows, "a session": sessionFlow } : flows,
    );
    const bag = all.flatMap((each) => Array<typeof each>(each[1].weight).fill(each));
    const ledger = new Ledger();
    const done = new Map(all.map(([name]) => [name, 0]));
    const start = performance.now();
    const clients = Array.from({ length: count }, (_, i) => new Client(server.url, KEYS, ledger, seed, i));
    const working = clients.map(async (client) => {
      while (performance.now() < end) {
        const [name, flow] = oneOf(client.random, bag);
        await flow.run(client, recording);
        done.set(name, done.get(name)! + 1);
      }
      client.close();
    });
    const ended = Promise.all(working);
    const samples: Sample[] = [];
    const watch = async (): Promise<void> => {
      samples.push(await sample(server));
      await Promise.race([ended, sleep(1000)]); // returns at once if a client fails
    };
    const seconds = (): number => (performance.now() - start) / 1000;
    while ([...done.values()].some((times) => times < warmUp) && seconds() < MOST_WARM_UP) await watch();
    samples.length = 0;
    const warmUpSeconds = seconds();
    end = performance.now() + minutes * 60_000;
    while (performance.now() < end) await watch();
    await ended;
    const taken = await takenAtTheEnd(server);
    const again = await record(server.url);
    const changed = again.known.filter(({ answer }, i) => answer !== recording.known[i]!.answer);
    return {
      ledger,
      flows: done,
      warmUpSeconds,
      samples,
      taken,
      changed: changed.map(({ kind }) => kind),
      complaints: server.complaints,
      exitCode: await server.stop(),
    };
  } finally {
    end = 0;
    await server.stop();
  }
}

/** Sends each request that has one right answer, alone. */
async function record(url: string): Promise<Recording> {
  const ask = async (ask: Ask): Promise<Reply> => {
    const reply = await send(url, ask, { headers: { Authorization: `Bearer ${KEYS[0]}` } });
    assert(reply?.status === 200, `${JSON.stringify(ask).slice(0, 400)}: ${reply?.status} ${reply?.bytes}`);
    return reply;
  };
  const json = async <T>(what: Ask): Promise<T> => jsonOf(await ask(what)) as T;
  const recorded = async (request: Known): Promise<Recorded> => ({
    ...request,
    answer: answerOf(await ask(request)),
  });

  const info = await json<{ model_name: string; fingerprint: string }>({ path: "/v1/model/info" });
  const { paths } = await json<{ paths: Record<string, unknown> }>({ path: "/openapi.json" });
  const chat = "/v1/chat/completions" in paths;
  const known: Recorded[] = [];
  for (const request of knownRequests(KNOWN, { name: info.model_name, chat, aligned: false })) {
    known.push(await recorded(request));
  }
  const continued: [Recorded, Recorded][] = [];
  for (const first of known.filter(({ body }) => body.return_state === true && body.stream === false)) {
    const { state } = await json<{ state: string }>(first);
    const body = { state, max_tokens: 20, temperature: 1 };
    continued.push([first, await recorded({ kind: "generate, from a state", path: "/v1/generate", body })]);
  }
  const sessions: RecordedSession[] = [];
  if ("/v1/sessions" in paths) for (let i = 0; i < 6; i++) sessions.push(await recordSession(i, json));
  return { model: info.model_name, fingerprint: info.fingerprint, known, continued, sessions };
}

async function recordSession(i: number, json: <T>(ask: Ask) => Promise<T>): Promise<RecordedSession> {
  const random = seeded(i);
  const session = `recorded-${i}`;
  const turns = [0, 1, 2, 3].map((n) => ({
    prompt: `session ${i}, turn ${n}: ${prose(random, 40 * i)}`,
    max_tokens: 20,
    temperature: 1,
    ...(n === 0 ? { seed: i } : {}),
  }));
  const texts: string[] = [];
  for (const [n, body] of turns.entries()) {
    const answer = await json<{ text: string }>({
      path: "/v1/generate",
      body: { ...body, session, turn: n },
    });
    texts.push(answer.text);
  }
  await json({ method: "DELETE", path: `/v1/sessions/${session}` });
  return { turns, texts };
}

async function sample(server: ServerProcess): Promise<Sample> {
  const metrics = await server.metrics();
  const read = (name: string): number => {
    const value = metrics.get(name);
    assert(value !== undefined, `/metrics has no ${name}`);
    return value;
  };
  return {
    resident: read("process_resident_memory_bytes"),
    heap: read("nodejs_heap_size_used_bytes"),
    external: read("nodejs_external_memory_bytes"),
    gpu: read("resonant_gpu_bytes"),
  };
}

/** Returns the resources in use once they stop changing, or after ten seconds. */
async function takenAtTheEnd(server: ServerProcess): Promise<SoakReport["taken"]> {
  for (let tries = 0; ; tries++) {
    const metrics = await server.metrics();
    const names = ["num_requests_running", "num_requests_waiting", "state_bytes"];
    const taken = Object.fromEntries(names.map((name) => [name, metrics.get(`resonant_${name}`)]));
    if (tries === 100 || Object.values(taken).every((value) => value === 0)) return taken;
    await sleep(100);
  }
}

export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** Divides the run into tenths; returns one number for each, such as its mean or minimum. */
export function tenths(
  samples: readonly Sample[],
  of: keyof Sample,
  number: (values: readonly number[]) => number = mean,
): number[] {
  return Array.from({ length: 10 }, (_, i) => {
    const [from, to] = [i, i + 1].map((tenth) => Math.floor((tenth * samples.length) / 10));
    return number(samples.slice(from, to).map((sample) => sample[of]));
  });
}

/** Returns the last number divided by the first. */
export const growth = (values: readonly number[]): number => values.at(-1)! / values[0]!;
