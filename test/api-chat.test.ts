import * as v from "valibot";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type ChatChunk,
  type ChatCompletion,
  type ChatLogprobs,
  chatChunk,
  chatResponse,
} from "../api/schemas/chat.ts";
import { openAiErrorResponse } from "../api/schemas/responses.ts";
import { collect } from "../engine/generate.ts";
import { Model } from "../engine/model.ts";
import type { ChatMessage } from "../weights/chat-template-types.ts";
import { CHAT_TEMPLATE, chatModelFiles, SAID, scriptedChatFiles } from "./chat-models.ts";
import { testGpu } from "./gpu.ts";
import { loadTiny, readJson } from "./models.ts";
import { post, postStream, startServer, type TestServer } from "./server.ts";

const MESSAGES = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "What agrees?" },
];
const ANSWER = "Yes, the pendulum";

let model: Model;
let server: TestServer;
let script: TestServer;
let textual: TestServer;

beforeAll(async () => {
  const gpu = await testGpu();
  model = await Model.load(gpu, await chatModelFiles(), { slots: 16 });
  server = await startServer(model);
  script = await startServer(await Model.load(gpu, scriptedChatFiles(), { slots: 16 }));
  textual = await startServer(await loadTiny(gpu, { slots: 16 }));
});

afterAll(() => Promise.all([server, script, textual].map((each) => each?.stop())));

const urlOf = ({ url }: TestServer): string => `${url}/v1/chat/completions`;
const bodyOf = (body: object, { service }: TestServer) => ({
  model: service.model.name,
  messages: MESSAGES,
  ...body,
});

async function chat(body: object, at = server): Promise<ChatCompletion> {
  const answer = await post(urlOf(at), bodyOf(body, at));
  expect(answer.body).not.toHaveProperty("error");
  expect(answer.status).toBe(200);
  return v.parse(chatResponse, answer.body);
}

const choicesOf = async (body: object, at = server) => (await chat(body, at)).choices;
const textOf = async (body: object, at = server) => (await choicesOf(body, at))[0]?.message.content;

/** Returns a stream's chunks; checks that the last event is `[DONE]`. */
async function stream(body: object, at = server): Promise<ChatChunk[]> {
  const events = await postStream(urlOf(at), bodyOf({ ...body, stream: true }, at));
  expect(events.pop()).toEqual({ event: "message", data: "[DONE]" });
  expect(events.every(({ event }) => event === "message")).toBe(true);
  return events.map(({ data }) => v.parse(chatChunk, JSON.parse(data)));
}

/** Adds up the chunks of each choice; checks that the first has the role, and the last only the reason. */
function joined(chunks: readonly ChatChunk[]): ChatCompletion["choices"] {
  const choices: ChatCompletion["choices"] = [];
  for (const { index, delta, logprobs, finish_reason } of chunks.flatMap((chunk) => chunk.choices)) {
    const choice = choices[index];
    if (!choice) {
      expect({ delta, logprobs, finish_reason }).toEqual({
        delta: { role: "assistant", content: "" },
        logprobs: null,
        finish_reason: null,
      });
      const message = { role: "assistant" as const, content: "", refusal: null };
      choices[index] = { index, message, logprobs: null, finish_reason: null };
      continue;
    }
    expect(choice.finish_reason).toBeNull();
    expect(delta).not.toHaveProperty("role");
    if (finish_reason !== null) expect({ delta, logprobs }).toEqual({ delta: {}, logprobs: null });
    choice.finish_reason = finish_reason;
    choice.message.content += delta.content ?? "";
    if (logprobs) {
      choice.logprobs = {
        content: [...(choice.logprobs?.content ?? []), ...logprobs.content],
        refusal: null,
      };
    }
  }
  return choices;
}

describe("a chat completion", () => {
  it("has OpenAI's fields", async () => {
    const before = Math.floor(Date.now() / 1000);
    const answer = await chat({ max_tokens: 3, seed: 1 });
    const prompt = await model.encode(await model.chatTemplate!.render(MESSAGES), { special: false });
    expect(answer).toMatchObject({
      id: expect.stringMatching(/^chatcmpl-/),
      object: "chat.completion",
      model: "chat",
      system_fingerprint: expect.stringMatching(/^fp_\w{12}$/),
      usage: {
        prompt_tokens: prompt.length,
        completion_tokens: 3,
        total_tokens: prompt.length + 3,
        prompt_tokens_details: { cached_tokens: 0 },
      },
    });
    expect(answer.created).toBeGreaterThanOrEqual(before);
    expect(answer.choices).toEqual([
      {
        index: 0,
        message: { role: "assistant", content: expect.any(String), refusal: null },
        logprobs: null,
        finish_reason: "length",
      },
    ]);
  });

  it("continues the text that the template renders, with special tokens only where the template writes them", async () => {
    const { chats } = readJson("tokenizers/chat/expected.json") as {
      readonly chats: readonly { messages: ChatMessage[]; add_generation_prompt: boolean; ids: number[] }[];
    };
    for (const { messages, ids } of chats.filter((each) => each.add_generation_prompt)) {
      const { usage } = await chat({ messages, temperature: 0 }, script);
      expect(usage?.prompt_tokens).toBe(ids.length);
    }
    const prompt = await model.encode(await model.chatTemplate!.render(MESSAGES), { special: false });
    const options = { maxTokens: 12, temperature: 1, topK: 0, topP: 1, seed: 3, choice: 0, eosIds: [256] };
    const { text } = await collect(model.generate(prompt, options));
    expect(await textOf({ max_tokens: 12, seed: 3 })).toBe(text);
  });

  it("ends with its turn, and contains no special token", async () => {
    const { choices, usage } = await chat({ temperature: 0 }, script);
    expect(choices).toEqual([
      {
        index: 0,
        message: { role: "assistant", content: ANSWER, refusal: null },
        logprobs: null,
        finish_reason: "stop",
      },
    ]);
    expect(usage?.completion_tokens).toBe(SAID.length + 1);
  });

  it("uses OpenAI's default if a field is missing or null", async () => {
    const fields = {
      temperature: 1,
      top_p: 1,
      top_k: 0,
      repetition_penalty: 1,
      n: 1,
      stream: false,
      stream_options: null,
      logprobs: false,
      top_logprobs: 0,
      stop: [],
      presence_penalty: 0,
      frequency_penalty: 0,
      logit_bias: {},
      min_p: 0,
      ignore_eos: false,
      response_format: { type: "text" },
      tools: [],
      tool_choice: "none",
      functions: [],
      function_call: "auto",
      parallel_tool_calls: true,
      metadata: {},
      store: false,
      user: "somebody",
    };
    const nulls = Object.fromEntries(Object.keys(fields).map((name) => [name, null]));
    const asked = { seed: 1, max_completion_tokens: 12 };
    const bare = await chat(asked);
    for (const more of [fields, nulls, { unknown: [1], store: true }, { max_tokens: null }]) {
      expect((await chat({ ...asked, ...more })).choices).toEqual(bare.choices);
    }
    for (const seed of [null, -1]) {
      expect((await chat({ ...asked, seed })).choices).not.toEqual(bare.choices);
    }
  });

  it("limits its length by either of two fields, and prefers the newer one", async () => {
    for (const [body, tokens] of [
      [{ max_tokens: 2 }, 2],
      [{ max_completion_tokens: 3 }, 3],
      [{ max_completion_tokens: 3, max_tokens: 2 }, 3],
      [{ max_completion_tokens: null, max_tokens: 2 }, 2],
    ] as const) {
      const { choices, usage } = await chat({ ...body, temperature: 0 }, script);
      expect([choices[0]?.finish_reason, usage?.completion_tokens]).toEqual(["length", tokens]);
    }
    const narrow = await startServer(model, ["--max-tokens-limit", "5"]);
    try {
      expect((await chat({ temperature: 0 }, narrow)).usage?.completion_tokens).toBe(5);
    } finally {
      await narrow.stop();
    }
  });

  it("joins a message's parts as lines, and treats the role developer as system", async () => {
    const said = { seed: 5, max_tokens: 8 };
    const parts = (...texts: string[]) => texts.map((text) => ({ type: "text", text }));
    const plain = [
      { role: "system", content: "one\ntwo" },
      { role: "user", content: "three" },
    ];
    const other = [
      { role: "developer", content: parts("one", "two") },
      { role: "user", content: parts("three"), name: "someone", tool_calls: null },
    ];
    const silent = (message: object) => [plain[1], { role: "assistant", ...message }, plain[1]];
    const [none, empty] = [
      await chat({ ...said, messages: silent({ content: null, tool_calls: [] }) }),
      await chat({ ...said, messages: silent({ content: "" }) }),
    ];
    expect([none.choices, none.usage]).toEqual([empty.choices, empty.usage]);
    const [one, two] = [await chat({ ...said, messages: plain }), await chat({ ...said, messages: other })];
    expect([two.choices, two.usage]).toEqual([one.choices, one.usage]);
  });

  it("has n choices, each equal to the engine's own text", async () => {
    const { choices, usage } = await chat({ n: 3, seed: 3, max_tokens: 8 });
    expect(choices.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(choices[0]).toEqual((await choicesOf({ seed: 3, max_tokens: 8 }))[0]);
    expect(new Set(choices.map(({ message }) => message.content)).size).toBe(3);
    const prompt = await model.encode(await model.chatTemplate!.render(MESSAGES), { special: false });
    expect(usage?.prompt_tokens).toBe(prompt.length); // once, however many choices
  });

  it("ends before a stop string, given alone or in a list", async () => {
    for (const stop of [" pend", [" pend"], ["never", "the pen", " pend"]]) {
      const [choice] = await choicesOf({ temperature: 0, stop }, script);
      const content = stop.includes("the pen") ? "Yes, " : "Yes, the";
      expect(choice).toMatchObject({ message: { content }, finish_reason: "stop" });
    }
  });
});

describe("a chat's logprobs", () => {
  it.each([0, 1, 20])("list each token, its bytes, and the %d most likely tokens", async (top_logprobs) => {
    const body = { seed: 6, max_tokens: 8, logprobs: true, top_logprobs };
    const [choice] = await choicesOf(body);
    const { content } = choice!.logprobs!;
    expect(content).toHaveLength(8);
    const bytes = Buffer.from(content.flatMap((each) => each.bytes));
    expect(new TextDecoder().decode(bytes)).toBe(choice!.message.content);
    for (const { token, logprob, bytes, top_logprobs: top } of content) {
      expect(token).toBe(
        bytes[0]! < 128 ? String.fromCharCode(bytes[0]!) : `bytes:\\x${bytes[0]!.toString(16)}`,
      );
      expect(logprob).toBeLessThanOrEqual(0);
      expect(top).toHaveLength(top_logprobs);
      for (const each of top) {
        expect(Object.keys(each)).toEqual(["token", "logprob", "bytes"]);
        if (each.token === token && each.token !== "") expect(each.logprob).toBe(logprob);
      }
      if (top[0]) expect(top[0].logprob).toBeGreaterThanOrEqual(logprob);
    }
  });

  it("name special tokens, which have no bytes", async () => {
    const [choice] = await choicesOf({ temperature: 0, logprobs: true }, script);
    const { content } = choice!.logprobs!;
    expect(content.map(({ token }) => token)).toEqual(["Y", "es", ",", "<unk>", " the", " pendulum", "</s>"]);
    expect(content.map(({ bytes }) => bytes.length)).toEqual([1, 2, 1, 0, 4, 9, 0]);
  });

  it("are null unless requested", async () => {
    for (const logprobs of [null, false]) {
      expect((await choicesOf({ max_tokens: 2, logprobs }))[0]?.logprobs).toBeNull();
    }
  });
});

describe("a stream of a chat", () => {
  it.each<[string, object]>([
    ["one", {}],
    ["several choices", { n: 3 }],
    ["with logprobs", { logprobs: true, top_logprobs: 2 }],
    ["with stop strings", { n: 4, stop: ["e", "o", " "], logprobs: true, temperature: 1.5 }],
  ])("adds up to the plain answer: %s", async (_, options) => {
    const body = { seed: 8, max_tokens: 14, ...options };
    const chunks = await stream(body);
    expect(joined(chunks)).toEqual(await choicesOf(body));
    expect(new Set(chunks.map(({ id, created, model }) => `${id} ${created} ${model}`)).size).toBe(1);
    expect(chunks.some((chunk) => "usage" in chunk)).toBe(false);
  });

  it("adds up to the answer without streaming if the turn ends", async () => {
    const body = { temperature: 0, logprobs: true as const };
    expect(joined(await stream(body, script))).toEqual(await choicesOf(body, script));
    const tokens = (logprobs: ChatLogprobs | null | undefined) => logprobs?.content.length ?? 0;
    const told = (await stream(body, script)).map(({ choices }) => tokens(choices[0]?.logprobs));
    expect(told.at(-1)).toBe(0);
  });

  it("ends with the usage if requested", async () => {
    const body = { n: 2, seed: 9, max_tokens: 5 };
    const chunks = await stream({ ...body, stream_options: { include_usage: true } });
    const last = chunks.pop()!;
    expect([last.object, last.choices]).toEqual(["chat.completion.chunk", []]);
    expect(last.usage).toEqual((await chat(body)).usage);
    expect(chunks.map(({ usage }) => usage)).toEqual(chunks.map(() => null));
  });
});

/** Expects a refusal in OpenAI's format. */
async function expectRefusal(body: object, param: string, message: string, at = server): Promise<void> {
  const answer = await post(urlOf(at), bodyOf(body, at));
  expect(answer.status).toBe(400);
  expect(v.parse(v.strictObject(openAiErrorResponse.entries), answer.body)).toEqual({
    error: { message, type: "invalid_request_error", param, code: "invalid_value" },
  });
}

describe("/v1/chat/completions refuses and names", () => {
  const user = (content: unknown, more: object = {}) => [{ role: "user", content, ...more }];
  const FLAG = "must be true or false";
  const TOKENS = "must be an integer between 1 and 2048";
  const STOP = "must be a string of 1 to 256 characters, or a list of 0 to 64 of them";
  const LIST = "must be a list of 1 to 256 messages";
  const ROLE = 'must be "system" or "developer" or "user" or "assistant"';
  const SIZE = "must be a string of up to 8192 characters";
  const CONTENT = `${SIZE}, or a list of 1 to 256 parts {"type": "text", "text": a string}`;
  const TOOLS = "must be null: there are no tools";
  const LISTED = "must be an empty list: there are no tools";
  const CHOICE = 'must be "none" or "auto": there are no tools';
  const long = "a".repeat(8193);

  it.each<[field: string, value: unknown, message: string, param?: string]>([
    ["model", undefined, "is required"],
    ["model", 5, "must be a string"],
    ["messages", undefined, "is required"],
    ["messages", null, LIST],
    ["messages", "hello", LIST],
    ["messages", [], LIST],
    ["messages", Array(257).fill({ role: "user", content: "a" }), LIST],
    ["messages", ["hello"], "must be an object", "messages[0]"],
    ["messages", [{ content: "a" }], "is required", "messages[0].role"],
    ["messages", [{ role: "tool", content: "a" }], ROLE, "messages[0].role"],
    ["messages", [...user("a"), { role: "User", content: "a" }], ROLE, "messages[1].role"],
    ["messages", [{ role: "user" }], "is required", "messages[0].content"],
    ["messages", user(null), CONTENT, "messages[0].content"],
    ["messages", user(5), CONTENT, "messages[0].content"],
    ["messages", user([]), "must be a list of 1 to 256 parts", "messages[0].content"],
    ["messages", user([{ type: "image_url", image_url: {} }]), CONTENT, "messages[0].content"],
    ["messages", user([{ type: "text" }]), CONTENT, "messages[0].content"],
    ["messages", user(long), SIZE, "messages[0].content"],
    ["messages", user("a\ud83d"), "must be without lone surrogates", "messages[0].content"],
    ["messages", user("a", { tool_calls: [{}] }), LISTED, "messages[0].tool_calls"],
    ["messages", user("a", { function_call: {} }), TOOLS, "messages[0].function_call"],
    ["max_tokens", 0, "must be between 1 and 2048"],
    ["max_tokens", 2049, "must be between 1 and 2048"],
    ["max_tokens", "ten", TOKENS],
    ["max_completion_tokens", 0, "must be between 1 and 2048"],
    ["max_completion_tokens", 1.5, TOKENS],
    ["temperature", "1,5", "must be a number between 0 and 2"],
    ["temperature", 2.1, "must be between 0 and 2"],
    ["top_p", [], "must be a number between 0 and 1"],
    ["top_p", 1.1, "must be between 0 and 1"],
    ["top_k", -1, "must be between 0 and 2147483647"],
    ["repetition_penalty", 0.9, "must be between 1 and 2"],
    ["n", 0, "must be between 1 and 16"],
    ["n", "one", "must be an integer between 1 and 16"],
    ["stream", 2, FLAG],
    ["stream_options", true, "must be an object"],
    ["stop", 5, STOP],
    ["stop", "", "must be a string of 1 to 256 characters"],
    ["stop", Array(65).fill("a"), "must be a list of 0 to 64 strings"],
    ["seed", 0.5, "must be an integer between -1 and 9007199254740991"],
    ["logprobs", 2, FLAG],
    ["top_logprobs", 21, "must be between 0 and 20"],
    ["top_logprobs", "all", "must be an integer between 0 and 20"],
    ["top_logprobs", 2, "must be 0 unless logprobs is true"],
    ["presence_penalty", -2.5, "must be between -2 and 2"],
    ["frequency_penalty", "often", "must be a number between -2 and 2"],
    ["logit_bias", { 50: 101 }, "must be between -100 and 100", "logit_bias.50"],
    ["response_format", "text", "must be an object"],
    [
      "response_format",
      { type: "json_object" },
      'must be "text": no other format is supported',
      "response_format.type",
    ],
    ["tools", [{ type: "function" }], LISTED],
    ["tool_choice", "required", CHOICE],
    ["functions", [{ name: "f" }], LISTED],
    ["function_call", { name: "f" }, CHOICE],
    ["user", 5, "must be a string"],
  ])("%s: %j", (field, value, message, param = field) =>
    expectRefusal({ [field]: value }, param, `${param} ${message}`),
  );

  it("a model that it does not serve, with 404", async () => {
    const { status, body } = await post(urlOf(server), bodyOf({ model: "other" }, server));
    expect(status).toBe(404);
    expect(body.error).toMatchObject({ param: "model", code: "model_not_found" });
  });

  it("messages of a model without a chat template", () =>
    expectRefusal(
      {},
      "messages",
      "messages cannot be answered: the model has no chat template; use /v1/completions",
      textual,
    ));

  it("messages that the template refuses, in its words", () =>
    expectRefusal(
      { messages: [...MESSAGES, MESSAGES[0]] },
      "messages",
      "messages: the model's chat template refuses them: A system message must come first",
    ));

  it("a conversation with too many characters after the template is applied", async () => {
    const narrow = await startServer(model, ["--max-prompt-chars", "60"]);
    const around = (await model.chatTemplate!.render(user("") as ChatMessage[])).length;
    const most = "🙂".repeat(60 - around);
    try {
      const { usage } = await chat({ messages: user(most), max_tokens: 1 }, narrow);
      expect(usage?.prompt_tokens).toBeGreaterThan(60); // its tokens are bytes
      const message = "messages must be at most 60 characters in the format of the model's chat template";
      await expectRefusal({ messages: user(`${most}a`) }, "messages", message, narrow);
    } finally {
      await narrow.stop();
    }
  });
});

describe("the document", () => {
  it("offers chats only if the model has a chat template", async () => {
    const pathsOf = async ({ url }: TestServer) => (await (await fetch(`${url}/openapi.json`)).json()).paths;
    expect(await pathsOf(server)).toHaveProperty(["/v1/chat/completions", "post"]);
    expect(await pathsOf(textual)).not.toHaveProperty(["/v1/chat/completions"]);
  });
});

describe("a model with a template that cannot be used", () => {
  it("loads with a warning that names the file, and continues texts", async () => {
    const remarks: string[] = [];
    const files = await chatModelFiles("{% for %}");
    const loaded = await Model.load(await testGpu(), files, { onRemark: (remark) => remarks.push(remark) });
    expect(loaded.chatTemplate).toBeUndefined();
    expect(remarks).toEqual([
      expect.stringMatching(/^chat: tokenizer_config.json: its chat template cannot be used: /),
    ]);
    const own = { ...files, chatTemplate: CHAT_TEMPLATE };
    const mended = await Model.load(await testGpu(), own);
    expect(mended.chatTemplate?.name).toBe("chat: chat_template.jinja");
  });
});
