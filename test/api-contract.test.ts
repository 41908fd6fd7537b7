import * as v from "valibot";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { generateRequest, generateResponse } from "../api/schemas/generate.ts";
import { errorResponse, healthResponse, modelInfoResponse } from "../api/schemas/responses.ts";
import { retrieveRequest, retrieveResponse } from "../api/schemas/retrieve.ts";
import type { Model } from "../engine/model.ts";
import { testGpu } from "./gpu.ts";
import { loadTiny, readJson } from "./models.ts";
import { post, startServer, type TestServer, until } from "./server.ts";

/** Reads an example from the contract. */
const example = (name: string) => readJson(`contract/${name}.json`) as Record<string, unknown>;

const CONTRACT_ERRORS = { generate: "prompt", retrieve: "needle" } as const;

let model: Model;
let server: TestServer;

beforeAll(async () => {
  model = await loadTiny(await testGpu(), { slots: 16 });
  server = await startServer(model);
});

afterAll(() => server?.stop());

const getJson = async (path: string): Promise<unknown> => {
  const response = await fetch(server.url + path);
  expect(response.status).toBe(200);
  expect(response.headers.get("Content-Type")).toMatch(/^application\/json/);
  return response.json();
};

const typeOf = (value: unknown): string =>
  value === null ? "null" : Array.isArray(value) ? "array" : typeof value;

/** Lists the fields of `theirs` that `ours` lacks or has with another type; the paths of `nullable` may be null. */
function differences(theirs: unknown, ours: unknown, nullable: readonly string[], path = ""): string[] {
  const [expected, actual] = [typeOf(theirs), typeOf(ours)];
  if (actual === "undefined") return [`${path} is missing`];
  if (actual === "null" && nullable.includes(path)) return [];
  if (expected === "null") return actual === "null" || actual === "number" ? [] : [`${path} is ${actual}`];
  if (expected !== actual) return [`${path} is ${actual}, not ${expected}`];
  if (Array.isArray(theirs) && Array.isArray(ours)) {
    return ours.flatMap((item) => differences(theirs[0], item, nullable, `${path}[]`));
  }
  if (expected !== "object") return [];
  return Object.entries(theirs as object).flatMap(([name, value]) =>
    differences(value, (ours as Record<string, unknown>)[name], nullable, path ? `${path}.${name}` : name),
  );
}

describe("the contract's answers", () => {
  it("have every field of its example, with the same type: health", async () => {
    const health = await getJson("/v1/health");
    expect(differences(example("health"), health, [])).toEqual([]);
    expect(health).toMatchObject({ status: "healthy", model_loaded: true });
    expect(v.parse(healthResponse, health).timestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });

  it("have every field of its example, with the same type: model information", async () => {
    const info = await getJson("/v1/model/info");
    expect(differences(example("model-info"), info, ["max_context_length"])).toEqual([]);
    expect(v.parse(modelInfoResponse, info)).toMatchObject({
      model_name: model.name,
      num_afrb_layers: model.weights.blocks.length,
      hidden_size: model.weights.shape.size,
      vocab_size: model.config.vocabulary,
      memory_features: { pvm_enabled: true, plm_enabled: true },
    });
  });

  it("have every field of its example, with the same type: generation", async () => {
    const request = example("generate-request");
    const { status, body } = await post(`${server.url}/v1/generate`, request);
    expect(status).toBe(200);
    expect(differences(example("generate-response"), body, [])).toEqual([]);
    const answer = v.parse(generateResponse, body);
    expect(answer.prompt).toBe(request.prompt);
    expect(answer.seed).toBe(request.seed);
    expect(answer.tokens_generated).toBe(request.max_tokens);
    expect(answer.finish_reason).toBe("max_tokens");
    expect(answer.phase_metrics?.omega_values).toHaveLength(model.weights.blocks.length);
    expect(answer.phase_metrics?.phase_offsets).toHaveLength(model.weights.blocks.length);
    expect(body).not.toHaveProperty("state");
  });

  it("leave out metrics that were not requested", async () => {
    const plain = await post(`${server.url}/v1/generate`, { prompt: "a", max_tokens: 2 });
    expect(plain.body).toMatchObject({ phase_metrics: null, memory_stats: null });
    const phase = await post(`${server.url}/v1/generate`, {
      prompt: "a",
      max_tokens: 2,
      return_phase_metrics: true,
    });
    expect(phase.body).toMatchObject({
      phase_metrics: { gamma_mean: expect.any(Number) },
      memory_stats: null,
    });
    const memory = await post(`${server.url}/v1/generate`, {
      prompt: "a",
      max_tokens: 2,
      return_memory_stats: true,
    });
    expect(memory.body).toMatchObject({
      phase_metrics: null,
      memory_stats: { total_memory_kb: expect.any(Number) },
    });
  });

  it("have every field of its example, with the same type: retrieval", async () => {
    const request = example("retrieve-request");
    const { status, body } = await post(`${server.url}/v1/retrieve`, request);
    expect(status).toBe(200);
    expect(differences(example("retrieve-response"), body, [])).toEqual([]);
    const { matches, needle, retrieval_mode } = v.parse(retrieveResponse, body);
    expect({ needle, retrieval_mode }).toEqual({ needle: request.needle, retrieval_mode: "pvm" });
    expect(matches[0]).toMatchObject({
      text: request.needle,
      position: (request.context as string).indexOf(request.needle as string), // its tokens are bytes
      similarity: expect.closeTo(1, 5),
    });
    expect(matches.length).toBeLessThanOrEqual(5);
  });

  it("leave out positions and similarities if not requested", async () => {
    const { body } = await post(`${server.url}/v1/retrieve`, {
      ...example("retrieve-request"),
      return_positions: false,
      return_similarity_scores: false,
    });
    for (const match of body.matches) expect(Object.keys(match)).toEqual(["text", "confidence"]);
  });

  it("search in every mode, for the query if there is one, and give at most top_k matches", async () => {
    const context = "the oscillators drift; the lattice hums; the oscillators agree";
    for (const retrieval_mode of ["pvm", "plm", "hybrid"]) {
      const { body } = await post(`${server.url}/v1/retrieve`, {
        context,
        needle: "nothing",
        query: "lattice hums",
        retrieval_mode,
        top_k: 2,
      });
      expect(body).toMatchObject({ needle: "nothing", retrieval_mode });
      expect(body.matches).toHaveLength(2);
      expect(body.matches[0]).toMatchObject({ text: "lattice hums", similarity: expect.closeTo(1, 5) });
    }
  });

  it("match its example of an error exactly", async () => {
    const theirs = example("error");
    const { status, body } = await post(`${server.url}/v1/generate`, { prompt: "a", max_tokens: 5000 });
    expect(status).toBe(400);
    expect(differences(theirs, body, [])).toEqual([]);
    expect(body).toMatchObject({ error: theirs.error, message: theirs.message, details: theirs.details });
    expect(v.parse(errorResponse, body).timestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });

  it("are logged in its format", async () => {
    await post(`${server.url}/v1/generate`, { prompt: "a", max_tokens: 1 });
    const line =
      /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - INFO - POST \/v1\/generate - Status: 200 - Duration: \d+\.\d\dms\n$/;
    await until(() => server.log.some((entry) => line.test(entry)), "logged");
  });
});

describe("the contract's parameters", () => {
  it("have its defaults", () => {
    const { limits } = server.service;
    const generate = v.parse(generateRequest(limits), { prompt: "a" });
    expect({
      ...generate,
      stop_sequences: generate.stop_sequences ?? null,
      seed: generate.seed ?? null,
    }).toMatchObject({
      prompt: "a",
      max_tokens: 100,
      temperature: 0.7,
      top_k: 50,
      top_p: 0.95,
      repetition_penalty: 1,
      stop_sequences: null,
      seed: null,
      return_phase_metrics: false,
      return_memory_stats: false,
    });
    const retrieve = v.parse(retrieveRequest(limits), { context: "a b", needle: "b" });
    expect({ ...retrieve, query: retrieve.query ?? null }).toEqual({
      context: "a b",
      needle: "b",
      query: null,
      retrieval_mode: "pvm",
      top_k: 5,
      return_positions: true,
      return_similarity_scores: true,
      return_phase_metrics: false,
      return_memory_stats: false,
    });
  });

  const text = (length: number) => "a".repeat(length);

  it.each([
    ["prompt", [text(1), text(8192)], ["", text(8193)]],
    ["max_tokens", [1, 2048, "2", " 2.0 ", "2_048", true], [0, 2049, "2049", "2.5", "", "two", false]],
    ["temperature", [0, 2, "0.7", "7e-1", true], [-1e-9, 2.0001, "3", "0x1", "nan"]],
    ["top_k", [0, 2 ** 31 - 1], [-1, 2 ** 31]],
    ["top_p", [0, 1], [-1e-9, 1.0001]],
    ["repetition_penalty", [1, 2], [0.9999, 2.0001]],
    ["stop_sequences", [null, [], ["\n\n", "END"]], [[""], ["a", 1]]],
    ["seed", [null, 0, Number.MAX_SAFE_INTEGER], [-1, 2 ** 53]],
    ["return_phase_metrics", [true, false, 1, 0, "true", "No"], [null, 2, "truly"]],
    ["return_memory_stats", [true, false], [null, ""]],
  ])("of /v1/generate hold at both ends and not beyond: %s", (field, good, bad) => {
    const schema = generateRequest(server.service.limits);
    const passes = (value: unknown): boolean => v.is(schema, { prompt: "a", [field]: value });
    expect(good.filter((value) => !passes(value))).toEqual([]);
    expect(bad.filter((value) => passes(value))).toEqual([]);
  });

  it.each([
    ["context", [text(1), text(100_000)], ["", text(100_001)]],
    ["needle", [text(1), text(8192)], ["", text(8193)]],
    ["query", [null, text(1), text(8192)], ["", text(8193)]],
    ["retrieval_mode", ["pvm", "plm", "hybrid"], ["PVM", "", null]],
    ["top_k", [1, 100], [0, 101]],
    ["return_positions", [true, false, 0, "off"], [null, -1]],
    ["return_similarity_scores", [true, false, "T"], [null, []]],
  ])("of /v1/retrieve hold at both ends and not beyond: %s", (field, good, bad) => {
    const schema = retrieveRequest(server.service.limits);
    const passes = (value: unknown): boolean => v.is(schema, { context: "a b", needle: "b", [field]: value });
    expect(good.filter((value) => !passes(value))).toEqual([]);
    expect(bad.filter((value) => passes(value))).toEqual([]);
  });

  it("are read as Pydantic reads them by default", async () => {
    const asked = { prompt: "a", max_tokens: 2, temperature: 1, seed: 7, stream: false };
    const lax = { prompt: "a", max_tokens: "2", temperature: true, seed: " 7 ", stream: "no" };
    const [plain, other] = [
      await post(`${server.url}/v1/generate`, asked),
      await post(`${server.url}/v1/generate`, lax),
    ];
    expect(other.body.text).toBe(plain.body.text);
    expect(other.body.tokens_generated).toBe(2);
  });

  it("count characters, not UTF-16 units", () => {
    const schema = generateRequest(server.service.limits);
    expect(v.is(schema, { prompt: "🙂".repeat(8192) })).toBe(true);
    expect(v.is(schema, { prompt: "🙂".repeat(8193) })).toBe(false);
  });

  it.each(Object.entries(CONTRACT_ERRORS))(
    "that are required are named if missing: /v1/%s",
    async (path, field) => {
      const { status, body } = await post(`${server.url}/v1/${path}`, { context: "a b" });
      expect(status).toBe(400);
      expect(body).toMatchObject({ error: "validation_error", details: { field } });
    },
  );

  it("follow the limits of the deployment", async () => {
    const small = await startServer(model, [
      ...["--max-tokens-limit", "8"],
      ...["--max-prompt-chars", "4"],
      ...["--max-context-chars", "6"],
    ]);
    try {
      const { body: long } = await post(`${small.url}/v1/generate`, { prompt: "12345" });
      expect(long.message).toBe("prompt must be a string of 1 to 4 characters");
      const { body: many } = await post(`${small.url}/v1/generate`, { prompt: "1234", max_tokens: 9 });
      expect(many.message).toBe("max_tokens must be between 1 and 8");
      const { body: context } = await post(`${small.url}/v1/retrieve`, { context: "1234567", needle: "1" });
      expect(context.message).toBe("context must be a string of 1 to 6 characters");
      const { body: fits } = await post(`${small.url}/v1/generate`, { prompt: "1234" });
      expect(fits.tokens_generated).toBe(8);
    } finally {
      await small.stop();
    }
  });
});
