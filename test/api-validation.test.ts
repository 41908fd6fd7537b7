import * as v from "valibot";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { errorResponse, openAiErrorResponse } from "../api/schemas/responses.ts";
import type { Model } from "../engine/model.ts";
import { testGpu } from "./gpu.ts";
import { loadTiny } from "./models.ts";
import { post, startServer, type TestServer } from "./server.ts";

let model: Model;
let server: TestServer;

beforeAll(async () => {
  model = await loadTiny(await testGpu(), { slots: 16 });
  server = await startServer(model);
});

afterAll(() => server?.stop());

/** The invalid field, its value (undefined: left out), and the end of the message. */
type Row = readonly [field: string, value: unknown, message: string];

const long = (length: number): string => "a".repeat(length);
const HALF_PAIR = "a\ud83d";
const FLAG = "must be true or false";
const SEEDS = "between 0 and 9007199254740991";
const SEED = `must be an integer ${SEEDS}`;

const flags = (...fields: string[]): Row[] =>
  fields.flatMap((field): Row[] => [
    [field, null, FLAG],
    [field, 2, FLAG],
    [field, "truly", FLAG],
  ]);

const texts = (field: string, least: number, most: number): Row[] => [
  [field, 5, `must be a string of ${least} to ${most} characters`],
  [field, ["a"], `must be a string of ${least} to ${most} characters`],
  [field, { text: "a" }, `must be a string of ${least} to ${most} characters`],
  [field, long(most + 1), `must be a string of ${least} to ${most} characters`],
  [field, HALF_PAIR, "must be without lone surrogates"],
];

const GENERATE: readonly Row[] = [
  ...texts("prompt", 1, 8192),
  ["prompt", undefined, "is required"],
  ["prompt", null, "must be a string of 1 to 8192 characters"],
  ["prompt", "", "must be a string of 1 to 8192 characters"],
  ["max_tokens", "ten", "must be an integer between 1 and 2048"],
  ["max_tokens", "10.5", "must be an integer between 1 and 2048"],
  ["max_tokens", "5000", "must be between 1 and 2048"],
  ["max_tokens", false, "must be between 1 and 2048"],
  ["max_tokens", null, "must be an integer between 1 and 2048"],
  ["max_tokens", [1], "must be an integer between 1 and 2048"],
  ["max_tokens", 1.5, "must be an integer between 1 and 2048"],
  ["max_tokens", 0, "must be between 1 and 2048"],
  ["max_tokens", 2049, "must be between 1 and 2048"],
  ["temperature", "hot", "must be a number between 0 and 2"],
  ["temperature", null, "must be a number between 0 and 2"],
  ["temperature", -0.1, "must be between 0 and 2"],
  ["temperature", 2.1, "must be between 0 and 2"],
  ["top_k", null, "must be an integer between 0 and 2147483647"],
  ["top_k", 0.5, "must be an integer between 0 and 2147483647"],
  ["top_k", -1, "must be between 0 and 2147483647"],
  ["top_k", 2 ** 31, "must be between 0 and 2147483647"],
  ["top_p", null, "must be a number between 0 and 1"],
  ["top_p", "one", "must be a number between 0 and 1"],
  ["top_p", -0.1, "must be between 0 and 1"],
  ["top_p", 1.1, "must be between 0 and 1"],
  ["repetition_penalty", null, "must be a number between 1 and 2"],
  ["repetition_penalty", {}, "must be a number between 1 and 2"],
  ["repetition_penalty", 0.9, "must be between 1 and 2"],
  ["repetition_penalty", 2.1, "must be between 1 and 2"],
  ["stop_sequences", "END", "must be a list of 0 to 64 strings"],
  ["stop_sequences", { 0: "END" }, "must be a list of 0 to 64 strings"],
  ["stop_sequences", Array(65).fill("END"), "must be a list of 0 to 64 strings"],
  ["seed", "0x2a", SEED],
  ["seed", 0.5, SEED],
  ["seed", -1, `must be ${SEEDS}`],
  ["seed", 2 ** 53, `must be ${SEEDS}`],
  ["phase_temperature", null, "must be a number between 0 and 100"],
  ["phase_temperature", "", "must be a number between 0 and 100"],
  ["phase_temperature", -1, "must be between 0 and 100"],
  ["phase_temperature", 101, "must be between 0 and 100"],
  ["readout_scale", null, "must be 0: the server has no alignment"],
  ["readout_scale", "1", "must be 0: the server has no alignment"],
  ["readout_scale", -1, "must be 0: the server has no alignment"],
  ["readout_scale", 101, "must be 0: the server has no alignment"],
  ...flags("return_phase_metrics", "return_memory_stats", "stream", "return_state"),
];

const RETRIEVE: readonly Row[] = [
  ...texts("context", 1, 100_000),
  ["context", undefined, "is required"],
  ["context", null, "must be a string of 1 to 100000 characters"],
  ["context", "", "must be a string of 1 to 100000 characters"],
  ...texts("needle", 1, 8192),
  ["needle", undefined, "is required"],
  ["needle", null, "must be a string of 1 to 8192 characters"],
  ["needle", "", "must be a string of 1 to 8192 characters"],
  ...texts("query", 1, 8192),
  ["query", "", "must be a string of 1 to 8192 characters"],
  ["retrieval_mode", "cosine", 'must be "pvm" or "plm" or "hybrid"'],
  ["retrieval_mode", null, 'must be "pvm" or "plm" or "hybrid"'],
  ["retrieval_mode", ["pvm"], 'must be "pvm" or "plm" or "hybrid"'],
  ["top_k", null, "must be an integer between 1 and 100"],
  ["top_k", "5e0", "must be an integer between 1 and 100"],
  ["top_k", 1.5, "must be an integer between 1 and 100"],
  ["top_k", 0, "must be between 1 and 100"],
  ["top_k", 101, "must be between 1 and 100"],
  ...flags("return_positions", "return_similarity_scores"),
];

const PROMPTS = "must be a string, 1 to 16 strings, or token ids from 0 to 299";
const BIASES =
  "must be an object of at most 1024 token ids from 0 to 299, each with a number from -100 to 100";
const STOP = "must be a string of 1 to 256 characters, or a list of 0 to 64 of them";

const COMPLETIONS: readonly Row[] = [
  ["model", undefined, "is required"],
  ["model", null, "must be a string"],
  ["model", 5, "must be a string"],
  ["prompt", undefined, "is required"],
  ["prompt", null, PROMPTS],
  ["prompt", 5, PROMPTS],
  ["prompt", { text: "a" }, PROMPTS],
  ["prompt", "", "must be a string of 1 to 8192 characters"],
  ["prompt", long(8193), "must be a string of 1 to 8192 characters"],
  ["prompt", HALF_PAIR, "must be without lone surrogates"],
  ["prompt", [], PROMPTS],
  ["prompt", [""], PROMPTS],
  ["prompt", Array(17).fill("a"), "must be a list of 1 to 16 strings"],
  ["prompt", [1, 300], PROMPTS],
  ["prompt", [1, -1], PROMPTS],
  ["prompt", [1, 0.5], PROMPTS],
  ["prompt", ["a", 1], PROMPTS],
  ["prompt", [[1], []], PROMPTS],
  ["prompt", [[1], "a"], PROMPTS],
  ["prompt", [null], PROMPTS],
  ["max_tokens", "1__0", "must be an integer between 0 and 2048"],
  ["max_tokens", 1.5, "must be an integer between 0 and 2048"],
  ["max_tokens", -1, "must be between 0 and 2048"],
  ["max_tokens", 2049, "must be between 0 and 2048"],
  ["temperature", "0x1", "must be a number between 0 and 2"],
  ["temperature", -0.1, "must be between 0 and 2"],
  ["temperature", 2.1, "must be between 0 and 2"],
  ["top_p", [], "must be a number between 0 and 1"],
  ["top_p", -0.1, "must be between 0 and 1"],
  ["top_p", 1.1, "must be between 0 and 1"],
  ["top_k", "k", "must be an integer between 0 and 2147483647"],
  ["top_k", -1, "must be between 0 and 2147483647"],
  ["top_k", 2 ** 31, "must be between 0 and 2147483647"],
  ["repetition_penalty", [1], "must be a number between 1 and 2"],
  ["repetition_penalty", 0.9, "must be between 1 and 2"],
  ["repetition_penalty", 2.1, "must be between 1 and 2"],
  ["n", "one", "must be an integer between 1 and 16"],
  ["n", 0, "must be between 1 and 16"],
  ["n", 17, "must be between 1 and 16"],
  ["stream", "", FLAG],
  ["stream", 2, FLAG],
  ["stream_options", true, "must be an object"],
  ["stream_options", [], "must be an object"],
  ["logprobs", {}, "must be an integer between 0 and 20"],
  ["logprobs", -1, "must be between 0 and 20"],
  ["logprobs", 21, "must be between 0 and 20"],
  ["echo", "echo", FLAG],
  ["stop", 5, STOP],
  ["stop", {}, STOP],
  ["stop", "", "must be a string of 1 to 256 characters"],
  ["stop", long(257), "must be a string of 1 to 256 characters"],
  ["stop", ["a", ""], STOP],
  ["stop", ["a", 1], STOP],
  ["stop", HALF_PAIR, "must be without lone surrogates"],
  ["stop", Array(65).fill("a"), "must be a list of 0 to 64 strings"],
  ["seed", "a", SEED.replace("0", "-1")],
  ["seed", 0.5, SEED.replace("0", "-1")],
  ["seed", -2, `must be ${SEEDS.replace("0", "-1")}`],
  ["seed", 2 ** 53, `must be ${SEEDS.replace("0", "-1")}`],
  ["presence_penalty", 2.5, "must be between -2 and 2"],
  ["frequency_penalty", {}, "must be a number between -2 and 2"],
  ["min_p", 1.1, "must be between 0 and 1"],
  ["ignore_eos", 2, FLAG],
  ["best_of", 0, "must be between 1 and 16"],
  ["best_of", 17, "must be between 1 and 16"],
  ["suffix", "END", "must be empty: text before a suffix cannot be generated"],
  ["logit_bias", { 300: 1 }, BIASES],
  ["logit_bias", { "05": 1 }, BIASES],
  ["logit_bias", [1], BIASES],
  ["best_of", [], "must be an integer between 1 and 16"],
  ["user", 5, "must be a string"],
  ["user", {}, "must be a string"],
];

/** Shortens a value for a test's name or an error. */
function brief(value: unknown): unknown {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text !== undefined && text.length > 200 ? `${text.slice(0, 200)}…` : (value ?? null);
}

const named = (rows: readonly Row[]) =>
  rows.map(([field, value, message]) => {
    const shown = JSON.stringify(value) ?? "nothing";
    const name = shown.length > 40 ? `${shown.slice(0, 37)}…` : shown;
    return { name: `${field}: ${name}`, field, value, message };
  });

/** Expects a refusal in the contract's format, with the field, its value and its allowed values. */
async function expectRefusal(path: string, body: unknown, [field, value, ending]: Row): Promise<void> {
  const answer = await post(server.url + path, body);
  expect(answer.status).toBe(400);
  const { error, message, details } = v.parse(errorResponse, answer.body);
  expect({ error, message }).toEqual({ error: "validation_error", message: `${field} ${ending}` });
  expect(details).toMatchObject({ field, value: brief(value) });
  if (ending.startsWith("must be ")) expect(details?.allowed).toBe(ending.slice("must be ".length));
}

async function expectWell(): Promise<void> {
  const { status, body } = await post(`${server.url}/v1/generate`, { prompt: "a", max_tokens: 2 });
  expect({ status, tokens: body.tokens_generated }).toEqual({ status: 200, tokens: 2 });
}

describe("/v1/generate refuses and names", () => {
  it.each(named(GENERATE))("$name", ({ field, value, message }) =>
    expectRefusal("/v1/generate", { prompt: "a", [field]: value }, [field, value, message]),
  );

  it.each(
    named([
      ["stop_sequences[0]", 1, "must be a string of 1 to 256 characters"],
      ["stop_sequences[0]", null, "must be a string of 1 to 256 characters"],
      ["stop_sequences[0]", ["a"], "must be a string of 1 to 256 characters"],
      ["stop_sequences[0]", "", "must be a string of 1 to 256 characters"],
      ["stop_sequences[0]", long(257), "must be a string of 1 to 256 characters"],
      ["stop_sequences[0]", HALF_PAIR, "must be without lone surrogates"],
    ]),
  )("an item of a list: $name", ({ field, value, message }) =>
    expectRefusal("/v1/generate", { prompt: "a", stop_sequences: [value] }, [field, value, message]),
  );

  it("the invalid item of a list, even if it is not the first", () =>
    expectRefusal("/v1/generate", { prompt: "a", stop_sequences: ["a", "b", ""] }, [
      "stop_sequences[2]",
      "",
      "must be a string of 1 to 256 characters",
    ]));

  it("a number that is too large for JavaScript", async () => {
    const { status, body } = await post(`${server.url}/v1/generate`, '{"prompt": "a", "temperature": 1e999}');
    expect(status).toBe(400);
    expect(body).toMatchObject({
      error: "validation_error",
      message: "temperature must be between 0 and 2",
      details: { field: "temperature", value: null },
    });
  });

  it("a state that is not a string, empty, or longer than any state", async () => {
    const most = server.service.limits.stateChars;
    const message = `must be a string of 1 to ${most} characters`;
    for (const value of [5, ["a"], "", long(most + 1)]) {
      await expectRefusal("/v1/generate", { prompt: "a", state: value }, ["state", value, message]);
    }
  });

  it("an empty prompt with a null state", () =>
    expectRefusal("/v1/generate", { prompt: "", state: null }, [
      "prompt",
      "",
      "must be a string of 1 to 8192 characters",
    ]));
});

describe("/v1/retrieve refuses and names", () => {
  it.each(named(RETRIEVE))("$name", ({ field, value, message }) =>
    expectRefusal("/v1/retrieve", { context: "a b c", needle: "b", [field]: value }, [field, value, message]),
  );
});

describe("/v1/completions refuses in OpenAI's shape and names", () => {
  const expectOpenAi = async (body: unknown, param: string, ending: string): Promise<void> => {
    const answer = await post(`${server.url}/v1/completions`, body);
    expect(answer.status).toBe(400);
    expect(v.parse(v.strictObject(openAiErrorResponse.entries), answer.body)).toEqual({
      error: {
        message: `${param} ${ending}`,
        type: "invalid_request_error",
        param,
        code: "invalid_value",
      },
    });
  };

  it.each(named(COMPLETIONS))("$name", ({ field, value, message }) =>
    expectOpenAi({ model: model.name, prompt: "a", [field]: value }, field, message),
  );

  it("stream_options.include_usage", () =>
    expectOpenAi(
      { model: model.name, prompt: "a", stream: true, stream_options: { include_usage: 2 } },
      "stream_options.include_usage",
      FLAG,
    ));

  it("a model that it does not serve, with 404", async () => {
    const { status, body } = await post(`${server.url}/v1/completions`, { model: "other", prompt: "a" });
    expect(status).toBe(404);
    expect(body).toEqual({
      error: {
        message: 'the model "other" does not exist',
        type: "invalid_request_error",
        param: "model",
        code: "model_not_found",
      },
    });
  });
});

describe.each([
  ["/v1/generate", "details.field"],
  ["/v1/retrieve", "details.field"],
  ["/v1/completions", "error.param"],
])("a body for %s", (path, fieldAt) => {
  it.each([
    ["nothing", ""],
    ["no JSON", '{"prompt": '],
    ["a list", "[]"],
    ["a string", '"prompt"'],
    ["a number", "5"],
    ["null", "null"],
    ["not UTF-8", Uint8Array.of(0x22, 0xff, 0x22)],
    ["UTF-16", new Uint8Array(Buffer.from('{"prompt": "a"}', "utf16le"))],
  ])("that is %s is refused with 400", async (_, body) => {
    const answer = await post(server.url + path, body);
    expect(answer.status).toBe(400);
    expect(answer.body).toHaveProperty(fieldAt, "body");
    expect(answer.body.message ?? answer.body.error.message).toMatch(/^the body must be (a )?JSON/);
  });

  it.each([
    ["lists", `${"[".repeat(100_000)}${"]".repeat(100_000)}`],
    ["objects", `${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`],
  ])("with %s nested too deep for a stack is refused with 400", async (_, nested) => {
    const first = path === "/v1/completions" ? "model" : path === "/v1/retrieve" ? "context" : "prompt";
    const answer = await post(server.url + path, `{"${first}": ${nested}}`);
    expect(answer.status).toBe(400);
    expect(answer.body).toHaveProperty(fieldAt, first);
  });
});

it("a server that has refused all this still answers", expectWell);
