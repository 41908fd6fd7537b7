import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { below, type Random, seeded } from "../bench/random.ts";
import { Model } from "../engine/model.ts";
import { chatModelFiles } from "./chat-models.ts";
import { randomFloats, testGpu } from "./gpu.ts";
import { loadDefault } from "./models.ts";
import { startServer, type TestServer, until } from "./server.ts";
import { contentOf, type Leaving, send } from "./soak/http.ts";
import { type Known, knownRequests } from "./soak/requests.ts";

const gpu = await testGpu();
afterEach(() => vi.restoreAllMocks());

/** Every choice and every search at once. */
const PLACES = 80;
const OPTIONS = { slots: PLACES, promptRows: 128 };

async function smallModel(): Promise<Model> {
  const model = await Model.load(gpu, await chatModelFiles(), OPTIONS);
  const weights = randomFloats(1, model.weights.shape.size ** 2);
  model.align({ weights, lambda: 1, tokens: 100, residual: 0.5 });
  return model;
}

describe.each<[name: string, count: number, seeds: readonly number[], load: () => Promise<Model>]>([
  ["a small model", 32, [1, 2, 3], smallModel],
  ["the default model", 5, [1], () => loadDefault(gpu, OPTIONS)],
])("requests to one server, over sockets of their own: %s", (_, count, seeds, load) => {
  let model: Model;
  let server: TestServer;
  let requests: readonly Known[];
  let alone: readonly unknown[];

  beforeAll(async () => {
    model = await load();
    server = await startServer(model, ["--max-batch-size", String(PLACES), "--log-level", "warn"]);
    requests = knownRequests(count, {
      name: model.name,
      chat: model.chatTemplate !== undefined,
      votes: model.alignment !== undefined,
    });
    const answers: unknown[] = [];
    for (const request of requests) answers.push(await ask(request));
    alone = answers;
  });

  afterAll(() => server?.stop());

  /** The answer; undefined where the client left before it. */
  async function ask(request: Known, leave?: Leaving): Promise<unknown> {
    const reply = await send(server.url, request, { leave });
    if (reply?.status === 200 || !reply) return reply && contentOf(reply);
    throw new Error(`${request.kind}: ${reply.status} ${reply.bytes}`);
  }

  /** Everything that was taken has been given back, and nothing went wrong on the way. */
  async function expectAllFree(): Promise<void> {
    const { admission } = server.service;
    await until(() => admission.running + admission.waiting + model.batch.size === 0, "idle");
    const { pool, snapshots } = model.runner;
    expect([pool.free, snapshots.free]).toEqual([pool.slots, snapshots.slots]);
    expect(server.log).toEqual([]);
  }

  it("have answers of every kind alone, no two the same", () => {
    const told = JSON.stringify(alone);
    for (const reason of ["max_tokens", "stop_sequence", "length", "stop"]) {
      expect(told).toContain(`"finish_reason":"${reason}"`);
    }
    expect(new Set(alone.map((answer) => JSON.stringify(answer))).size).toBe(count);
  });

  it("end at once as they do alone, byte for byte", async () => {
    const batches = vi.spyOn(model.runner, "batch");
    const found = await Promise.all(requests.map((request) => ask(request)));
    for (const [i, request] of requests.entries()) expect(found[i], request.kind).toEqual(alone[i]);
    const most = Math.max(...batches.mock.calls.map(([streams]) => streams.length));
    expect(most).toBeGreaterThan(count / 2);
    await expectAllFree();
  });

  it.each(seeds)(
    "end as they do alone when they come at any time and a third of their clients leave: %i",
    async (seed) => {
      const random = seeded(seed);
      const order = requests.map((_, i) => [random(), i] as const).sort(([a], [b]) => a - b);
      const found = await Promise.all(
        order.map(async ([, i], turn) => {
          const request = requests[i]!;
          const [later, leaving] = [below(random, 300), leavingOf(request, random)];
          await new Promise((resolve) => setTimeout(resolve, later));
          const answer = await ask(request, turn % 3 === 0 ? leaving : undefined);
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
});

/** Before the answer, or in the midst of a stream. */
function leavingOf({ body }: Known, random: Random): Leaving {
  if (body.stream && random() < 0.7) return { parts: below(random, 6) };
  return { milliseconds: below(random, 400) };
}
