import * as v from "valibot";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { errorResponse, openAiErrorResponse } from "../api/schemas/responses.ts";
import { type ErrorCode, ResonantError } from "../common/errors.ts";
import type { Model } from "../engine/model.ts";
import { testGpu } from "./gpu.ts";
import { loadTiny } from "./models.ts";
import { type Answer, post, postStream, startServer, type TestServer } from "./server.ts";

const SECRET = "hunter2 in /srv/keys.pem";
const PROMPT = "the oscillators agree";

let model: Model;
let server: TestServer;
let json: TestServer;

beforeAll(async () => {
  model = await loadTiny(await testGpu(), { slots: 16 });
  server = await startServer(model);
  json = await startServer(model, ["--log-format", "json"]);
});

afterAll(() => Promise.all([server?.stop(), json?.stop()]));

afterEach(async () => {
  vi.restoreAllMocks();
  const { pool, snapshots } = model.runner;
  expect([pool.free, snapshots.free]).toEqual([pool.slots, snapshots.slots]);
  const { status, body } = await post(`${server.url}/v1/generate`, { prompt: PROMPT, max_tokens: 3 });
  expect([status, body.tokens_generated]).toEqual([200, 3]);
});

/** Makes every later prompt and search fail with `error`. */
function failWith(error: unknown): void {
  const fail = (): never => {
    throw error;
  };
  vi.spyOn(model.runner, "prompts").mockImplementation(fail);
  vi.spyOn(model.gpu, "read").mockImplementation(fail);
}

const bodies = () => ({
  "/v1/generate": { prompt: PROMPT },
  "/v1/retrieve": { context: PROMPT, needle: "agree" },
  "/v1/completions": { model: model.name, prompt: PROMPT },
});

function expectShape(path: string, { status, body }: Answer, expected: number, kind: string): string {
  expect([path, status]).toEqual([path, expected]);
  if (path !== "/v1/completions") {
    const { error, message } = v.parse(v.strictObject(errorResponse.entries), body);
    expect(error).toBe(kind);
    return message;
  }
  const { error } = v.parse(v.strictObject(openAiErrorResponse.entries), body);
  expect(error.type).toBe(status < 500 ? "invalid_request_error" : "server_error");
  expect(error.code).toBe(kind === "validation_error" ? "invalid_value" : kind);
  return error.message;
}

describe("an error of the engine", () => {
  it.each<[ErrorCode, number, string]>([
    ["invalid_argument", 400, "validation_error"],
    ["state", 409, "conflict"],
    ["model", 500, "model_error"],
    ["shader", 500, "model_error"],
    ["out_of_memory", 503, "resource_error"],
    ["device_lost", 503, "resource_error"],
    ["no_adapter", 503, "resource_error"],
    ["invalid_file", 500, "internal_error"],
    ["unsupported", 500, "internal_error"],
  ])("has its status and word, in the shape of its path: %s", async (code, status, kind) => {
    failWith(new ResonantError(code, "went wrong", { option: "prompt" }));
    for (const [path, body] of Object.entries(bodies())) {
      for (const stream of [false, true]) {
        const answer = await post(server.url + path, { ...body, stream });
        expectShape(path, answer, status, kind);
        expect(answer.headers.get("Retry-After")).toBe(status === 503 ? "10" : null);
      }
    }
  });

  it("names the invalid field", async () => {
    failWith(new ResonantError("invalid_argument", "is odd", { option: "prompt" }));
    const { body } = await post(`${server.url}/v1/generate`, { prompt: PROMPT });
    expect(body).toMatchObject({ message: "prompt: is odd", details: { field: "prompt" } });
    const completion = await post(`${server.url}/v1/completions`, { model: model.name, prompt: PROMPT });
    expect(completion.body.error).toMatchObject({ message: "prompt: is odd", param: "prompt" });
  });

  it.each<ErrorCode>(["shader", "out_of_memory", "device_lost", "no_adapter", "invalid_file", "unsupported"])(
    "that concerns only the operator is only in the log: %s",
    async (code) => {
      failWith(new ResonantError(code, SECRET, { where: "/srv/model", fix: SECRET }));
      for (const [path, body] of Object.entries(bodies())) {
        const id = `${code}${path.replace(/\W/g, "-")}`;
        const answer = await post(json.url + path, body, { "X-Request-Id": id });
        expect(JSON.stringify(answer.body)).not.toMatch(/hunter2|srv|\.ts/);
        const entry = json.log
          .map((line) => JSON.parse(line))
          .find(({ err, request_id }) => err && request_id === id);
        expect(entry).toMatchObject({ level: 50, err: { message: expect.stringContaining(SECRET) } });
      }
    },
  );
});

describe("an error that nobody expected", () => {
  it.each([
    ["an Error", new Error(SECRET)],
    ["a TypeError with a cause", new TypeError(SECRET, { cause: new Error(SECRET) })],
  ])("says nothing of the inside: %s", async (_, error) => {
    failWith(error);
    for (const [path, body] of Object.entries(bodies())) {
      const answer = await post(server.url + path, body, { "X-Request-Id": "mine" });
      const message = expectShape(path, answer, 500, "internal_error");
      expect(message).toBe("an unexpected error; see the server's log for this request's id");
      expect(JSON.stringify([answer.body, ...answer.headers])).not.toMatch(/hunter2|srv|\.ts|node_modules/);
      expect(answer.headers.get("X-Request-Id")).toBe("mine");
    }
  });

  it("is logged with its stack and request id, in both formats", async () => {
    failWith(new Error(SECRET));
    for (const { url, log } of [server, json]) {
      await post(`${url}/v1/generate`, { prompt: PROMPT }, { "X-Request-Id": "find-me" });
      const line = log.find((entry) => entry.includes("find-me") && entry.includes(SECRET));
      expect(line).toMatch(/api-failures\.test\.ts/);
    }
  });

  it("is not logged if the server is only busy or loading", async () => {
    const loading = await startServer(undefined);
    try {
      const { status } = await post(`${loading.url}/v1/generate`, { prompt: PROMPT });
      expect(status).toBe(503);
      expect(loading.log.filter((line) => line.includes("ERROR"))).toEqual([]);
    } finally {
      await loading.stop();
    }
  });
});

describe("an error in the middle of a stream", () => {
  /** Lets a few tokens pass before the error. */
  function failLater(error: unknown): void {
    const batch = model.runner.batch.bind(model.runner);
    let calls = 0;
    vi.spyOn(model.runner, "batch").mockImplementation((...args) => {
      if (++calls > 4) throw error;
      return batch(...args);
    });
  }

  const events = (path: string, body: object) =>
    postStream(
      json.url + path,
      { ...body, stream: true, max_tokens: 64, temperature: 1, seed: 5 },
      { "X-Request-Id": "streamed" },
    );

  it.each([
    ["out_of_memory", new ResonantError("out_of_memory", SECRET), "resource_error"],
    ["model", new ResonantError("model", "the logits are not finite"), "model_error"],
    ["any other", new Error(SECRET), "internal_error"],
  ])("is the last event of /v1/generate: %s", async (_, error, kind) => {
    failLater(error);
    const all = await events("/v1/generate", { prompt: PROMPT });
    expect(all.length).toBeGreaterThan(1);
    expect(all.slice(0, -1).every(({ event }) => event === "message")).toBe(true);
    const last = all.at(-1)!;
    expect(last.event).toBe("error");
    expect(v.parse(v.strictObject(errorResponse.entries), JSON.parse(last.data)).error).toBe(kind);
    expect(last.data).not.toContain("hunter2");
    const entry = json.log.map((line) => JSON.parse(line)).findLast(({ err }) => err);
    expect(entry).toMatchObject({ request_id: "streamed", err: { message: error.message } });
  });

  it.each([
    ["out_of_memory", new ResonantError("out_of_memory", SECRET), "resource_error"],
    ["model", new ResonantError("model", "the logits are not finite"), "model_error"],
    ["any other", new Error(SECRET), "internal_error"],
  ])("is the last chunk of /v1/completions, in place of [DONE]: %s", async (_, error, kind) => {
    failLater(error);
    const all = await events("/v1/completions", { model: model.name, prompt: PROMPT, n: 2 });
    expect(all.length).toBeGreaterThan(1);
    const last = all.at(-1)!;
    const { error: told } = v.parse(v.strictObject(openAiErrorResponse.entries), JSON.parse(last.data));
    expect(told).toMatchObject({ type: "server_error", code: kind });
    expect(last.data).not.toContain("hunter2");
    expect(all.some(({ data }) => data === "[DONE]")).toBe(false);
  });
});
