import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { below, type Random, seeded } from "../bench/random.ts";
import { type LoadOptions, Model } from "../engine/model.ts";
import { chatModelFiles } from "./chat-models.ts";
import { randomFloats, testGpu } from "./gpu.ts";
import { loadDefault } from "./models.ts";
import { startServer, type TestServer, until } from "./server.ts";
import { contentOf, type Leaving, send } from "./soak/http.ts";
import { type Known, knownRequests } from "./soak/requests.ts";

const gpu = await testGpu();
afterEach(() => vi.restoreAllMocks());

/** Room for every choice and every search at once. */
const PLACES = 80;
const OPTIONS = { slots: PLACES, promptRows: 128 };

async function smallModel(options: LoadOptions): Promise<Model> {
  const model = await Model.load(gpu, await chatModelFiles(), options);
  const weights = randomFloats(1, model.weights.shape.size ** 2);
  model.align({ weights, lambda: 1, tokens: 100, residual: 0.5 });
  return model;
}

describe.each<
  [name: string, count: number, seeds: readonly number[], load: (options: LoadOptions) => Promise<Model>]
>([
  ["a small model", 32, [1, 2, 3], smallModel],
  ["the default model", 6, [1], (options) => loadDefault(gpu, options)],
])("requests to one server, over sockets of their own: %s", (_, count, seeds, load) => {
  let model: Model;
  let server: TestServer;
  let requests: readonly Known[];
  let alone: readonly unknown[];

  beforeAll(async () => {
    const flags = [
      "--max-batch-size",
      String(PLACES),
      "--log-level",
      "warn",
      "--state-secret",
      "a secret of these",
    ];
    model = await load(OPTIONS);
    server = await startServer(model, flags);
    requests = knownRequests(count, {
      name: model.name,
      chat: model.chatTemplate !== undefined,
      aligned: model.alignment !== undefined,
    });
    // Alone, every prompt is read from its first token.
    const forgetful = await startServer(await load({ ...OPTIONS, prefixBytes: 0 }), flags);
    const answers: unknown[] = [];
    for (const request of requests) answers.push(await ask(forgetful, request));
    alone = answers;
    await forgetful.stop();
  });

  afterAll(() => server?.stop());

  /** Returns the answer; undefined if the client disconnected before it. */
  async function ask({ url }: TestServer, request: Known, leave?: Leaving): Promise<unknown> {
    const reply = await send(url, request, { leave });
    if (reply?.status === 200 || !reply) return reply && contentOf(reply);
    throw new Error(`${request.kind}: ${reply.status} ${reply.bytes}`);
  }

  /** Expects that all resources are free again and that no error was logged. */
  async function expectAllFree(): Promise<void> {
    const { admission } = server.service;
    await until(() => admission.running + admission.waiting + model.scheduler.size === 0, "idle");
    const { pool, snapshots } = model.runner;
    expect([pool.free, snapshots.free]).toEqual([pool.slots, snapshots.slots]);
    expect(server.log).toEqual([]);
  }

  it("have answers of every kind when run alone, all of them different", () => {
    const told = JSON.stringify(alone);
    for (const reason of ["max_tokens", "stop_sequence", "length", "stop"]) {
      expect(told).toContain(`"finish_reason":"${reason}"`);
    }
    expect(new Set(alone.map((answer) => JSON.stringify(answer))).size).toBe(count);
  });

  it("run at once give the same bytes as alone", async () => {
    const batches = vi.spyOn(model.runner, "batch");
    const found = await Promise.all(requests.map((request) => ask(server, request)));
    for (const [i, request] of requests.entries()) expect(found[i], request.kind).toEqual(alone[i]);
    const most = Math.max(...batches.mock.calls.map(([streams]) => streams.length));
    expect(most).toBeGreaterThan(count / 2);
    await expectAllFree();
  });

  it.each(seeds)(
    "give the same bytes as alone at random times, while a third of the clients disconnect: %i",
    async (seed) => {
      const random = seeded(seed);
      const order = requests.map((_, i) => [random(), i] as const).sort(([a], [b]) => a - b);
      const found = await Promise.all(
        order.map(async ([, i], turn) => {
          const request = requests[i]!;
          const [later, leaving] = [below(random, 300), leavingOf(request, random)];
          await new Promise((resolve) => setTimeout(resolve, later));
          const answer = await ask(server, request, turn % 3 === 0 ? leaving : undefined);
          if (answer !== undefined) expect(answer, `${request.kind}, request ${i}`).toEqual(alone[i]);
          return answer;
        }),
      );
      const left = found.filter((answer) => answer === undefined).length;
      expect(left).toBeGreaterThan(0);
      expect(found.length - left).toBeGreaterThanOrEqual(Math.floor((2 * count) / 3));
      await expectAllFree();
    },
  );

  it("have reused prefixes of earlier prompts", async () => {
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    const [, reused] = /^resonant_prefix_cache_hits_total (\d+)$/m.exec(metrics) ?? [];
    expect(Number(reused)).toBeGreaterThan(500);
  });
});

/** When a client disconnects: before the answer, or within a stream. */
function leavingOf({ body }: Known, random: Random): Leaving {
  if (body.stream && random() < 0.7) return { parts: below(random, 6) };
  return { milliseconds: below(random, 400) };
}
