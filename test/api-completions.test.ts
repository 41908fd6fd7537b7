import * as v from "valibot";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Completion, completionResponse } from "../api/schemas/completions.ts";
import { generateResponse } from "../api/schemas/generate.ts";
import { modelsResponse } from "../api/schemas/responses.ts";
import { collect } from "../engine/generate.ts";
import { Model } from "../engine/model.ts";
import { testGpu } from "./gpu.ts";
import { loadTiny, scriptedModelFiles } from "./models.ts";
import { post, postStream, startServer, type TestServer } from "./server.ts";

const PROMPT = "the oscillators agree";

let model: Model;
let scripted: Model;
let server: TestServer;
let script: TestServer;

beforeAll(async () => {
  const gpu = await testGpu();
  model = await loadTiny(gpu, { slots: 16 });
  scripted = await Model.load(gpu, scriptedModelFiles(Buffer.from("abcdefghij")), { slots: 16 });
  server = await startServer(model);
  script = await startServer(scripted);
});

afterAll(() => Promise.all([server, script].map((each) => each?.stop())));

const nameOf = ({ service }: TestServer): string => service.model.name;

async function complete(body: object, at = server): Promise<Completion> {
  const answer = await post(`${at.url}/v1/completions`, { model: nameOf(at), ...body });
  expect(answer.status).toBe(200);
  return v.parse(completionResponse, answer.body);
}

/** Returns the choices of an answer, without the fields that differ each time. */
const choicesOf = async (body: object, at = server) => (await complete(body, at)).choices;

/** Returns a stream's chunks; checks that the last event is `[DONE]`. */
async function stream(body: object, at = server): Promise<Completion[]> {
  const url = `${at.url}/v1/completions`;
  const events = await postStream(url, { model: nameOf(at), ...body, stream: true });
  expect(events.pop()).toEqual({ event: "message", data: "[DONE]" });
  expect(events.every(({ event }) => event === "message")).toBe(true);
  return events.map(({ data }) => v.parse(completionResponse, JSON.parse(data)));
}

/** Adds up the chunks of each choice. */
function joined(chunks: readonly Completion[]): Completion["choices"] {
  const choices: Completion["choices"] = [];
  for (const { index, text, logprobs, finish_reason } of chunks.flatMap((chunk) => chunk.choices)) {
    choices[index] ??= { index, text: "", logprobs: null, finish_reason: null };
    const choice = choices[index];
    expect(choice.finish_reason).toBeNull();
    choice.text += text;
    choice.finish_reason = finish_reason;
    if (!logprobs) continue;
    const own = choice.logprobs;
    choice.logprobs = own
      ? {
          tokens: [...own.tokens, ...logprobs.tokens],
          token_logprobs: [...own.token_logprobs, ...logprobs.token_logprobs],
          top_logprobs: [...(own.top_logprobs ?? []), ...(logprobs.top_logprobs ?? [])],
          text_offset: [...own.text_offset, ...logprobs.text_offset],
        }
      : logprobs;
  }
  return choices;
}

describe("a stream of /v1/generate", () => {
  it.each([
    ["plain", { temperature: 1, max_tokens: 40 }],
    [
      "with metrics",
      { temperature: 1, max_tokens: 12, return_phase_metrics: true, return_memory_stats: true },
    ],
    ["with stop sequences", { temperature: 1.5, top_k: 0, max_tokens: 60, stop_sequences: ["e", "o", " "] }],
    ["at temperature 0, of one token", { temperature: 0, max_tokens: 1 }],
  ])("says what the plain answer says: %s", async (_, options) => {
    const url = `${server.url}/v1/generate`;
    const body = { prompt: PROMPT, seed: 11, ...options };
    const { timing_ms: _plain, ...plain } = v.parse(generateResponse, (await post(url, body)).body);
    const events = await postStream(url, { ...body, stream: true });
    const last = events.pop()!;
    expect(last.event).toBe("done");
    const { timing_ms, ...done } = v.parse(generateResponse, JSON.parse(last.data));
    expect(done).toEqual(plain);
    expect(timing_ms).toBeGreaterThan(0);
    const messages = events.map(({ event, data }) => ({ event, ...JSON.parse(data) }));
    expect(messages.every(({ event, text }) => event === "message" && text !== "")).toBe(true);
    expect(messages.map(({ text }) => text).join("")).toBe(plain.text);
  });

  it("treats null as a missing field, and ignores unknown fields", async () => {
    const body = { prompt: PROMPT, seed: 11, max_tokens: 8 };
    const { body: plain } = await post(`${server.url}/v1/generate`, body);
    const { body: more } = await post(`${server.url}/v1/generate`, {
      ...body,
      stop_sequences: null,
      state: null,
      unknown: { of: ["any", "kind"] },
      constructor: 1,
    });
    expect(more.text).toBe(plain.text);
  });
});

describe("a completion", () => {
  it("has OpenAI's fields", async () => {
    const before = Math.floor(Date.now() / 1000);
    const answer = await complete({ prompt: PROMPT, max_tokens: 3 });
    expect(answer).toMatchObject({
      id: expect.stringMatching(/^cmpl-/),
      object: "text_completion",
      model: model.name,
      usage: {
        prompt_tokens: PROMPT.length,
        completion_tokens: 3,
        total_tokens: PROMPT.length + 3,
        prompt_tokens_details: { cached_tokens: 0 },
      },
    });
    expect(answer.created).toBeGreaterThanOrEqual(before);
    expect(answer.choices).toEqual([
      { index: 0, text: expect.any(String), logprobs: null, finish_reason: "length" },
    ]);
    const models = await fetch(`${server.url}/v1/models`);
    expect(v.parse(modelsResponse, await models.json()).data.map(({ id }) => id)).toEqual([model.name]);
  });

  it("uses OpenAI's default if a field is missing or null", async () => {
    const fields = {
      max_tokens: 16,
      temperature: 1,
      top_p: 1,
      top_k: 0,
      repetition_penalty: 1,
      n: 1,
      stream: false,
      stream_options: null,
      logprobs: null,
      echo: false,
      stop: [],
      presence_penalty: 0,
      frequency_penalty: 0,
      best_of: 1,
      user: "somebody",
    };
    const nulls = Object.fromEntries(Object.keys(fields).map((name) => [name, null]));
    const bare = await complete({ prompt: PROMPT, seed: 1 });
    expect(bare.usage?.completion_tokens).toBe(16);
    expect((await complete({ prompt: PROMPT, seed: 1, ...fields })).choices).toEqual(bare.choices);
    expect((await complete({ prompt: PROMPT, seed: 1, ...nulls })).choices).toEqual(bare.choices);
    expect((await complete({ prompt: PROMPT, seed: 1, unknown: [1] })).choices).toEqual(bare.choices);
    expect((await complete({ prompt: PROMPT, seed: null })).choices).not.toEqual(bare.choices);
  });

  it("is the most likely per token of best_of continuations, or the n most likely in order", async () => {
    const asked = { prompt: PROMPT, seed: 6, max_tokens: 12, temperature: 1.5, logprobs: 0 };
    const all = await complete({ ...asked, n: 8 });
    const mean = ({ logprobs }: Completion["choices"][number]): number => {
      const told = logprobs!.token_logprobs;
      return told.reduce<number>((sum, each) => sum + each!, 0) / told.length;
    };
    const sorted = [...all.choices].sort((a, b) => mean(b) - mean(a));
    expect(sorted.map(({ index }) => index)).not.toEqual(all.choices.map(({ index }) => index));
    for (const n of [1, 3]) {
      const found = await complete({ ...asked, n, best_of: 8 });
      expect(found.choices).toEqual(sorted.slice(0, n).map((choice, index) => ({ ...choice, index })));
      expect(found.usage?.completion_tokens).toBe(all.usage?.completion_tokens);
      const untold = await complete({ ...asked, n, best_of: 8, logprobs: null });
      expect(untold.choices).toEqual(found.choices.map((choice) => ({ ...choice, logprobs: null })));
    }
    expect((await complete({ ...asked, n: 8, best_of: 8 })).choices).toEqual(all.choices);
    const two = await complete({ ...asked, prompt: [PROMPT, "another"], best_of: 4 });
    const [first] = await choicesOf({ ...asked, best_of: 4 });
    expect(two.choices[0]).toEqual(first);
    expect(two.choices).toHaveLength(2);
  });

  it("takes biases of tokens, penalties, min_p and ignore_eos, and writes the engine's own text", async () => {
    const forced = await choicesOf({ prompt: PROMPT, max_tokens: 5, logit_bias: { 88: 100 } });
    expect(forced[0]?.text).toBe("XXXXX");
    const asked = { prompt: PROMPT, seed: 3, max_tokens: 20 };
    const more = { presence_penalty: 1, frequency_penalty: 0.5, min_p: 0.2, ignore_eos: true };
    const own = {
      ...{ seed: 3, maxTokens: 20, temperature: 1, topK: 0, topP: 1, choice: 0 },
      ...{ presencePenalty: 1, frequencyPenalty: 0.5, minP: 0.2, ignoreEos: true },
    };
    const { text } = await collect(model.generate(PROMPT, own));
    const [choice] = await choicesOf({ ...asked, ...more });
    expect(choice?.text).toBe(text);
    expect(choice).not.toEqual((await choicesOf(asked))[0]);
    const generate = await post(`${server.url}/v1/generate`, {
      ...asked,
      ...more,
      temperature: 1,
      top_k: 0,
      top_p: 1,
    });
    expect(generate.body.text).toBe(text);
  });

  it("refuses best_of below n, and best_of in a stream", async () => {
    const answer = await post(`${server.url}/v1/completions`, {
      model: nameOf(server),
      prompt: PROMPT,
      n: 3,
      best_of: 2,
    });
    expect([answer.status, answer.body.error.message]).toEqual([400, "best_of must be at least n"]);
    const streamed = await post(`${server.url}/v1/completions`, {
      model: nameOf(server),
      prompt: PROMPT,
      best_of: 2,
      stream: true,
    });
    expect([streamed.status, streamed.body.error.param]).toEqual([400, "best_of"]);
  });

  it("reuses the prefix of an earlier prompt, and reports it", async () => {
    const beginning = "what a prompt has in common with another one, ".repeat(10);
    const asked = { seed: 4, max_tokens: 8, temperature: 1 };
    const cached = async (prompt: string, more: object = {}): Promise<number> => {
      const { usage } = await complete({ prompt, ...asked, ...more });
      expect(usage?.prompt_tokens).toBe(prompt.length);
      return usage!.prompt_tokens_details.cached_tokens;
    };
    expect(await cached(`${beginning}one`, { n: 4 })).toBe(0);
    expect(await cached(`${beginning}two`)).toBe(448);
    const [again] = await choicesOf({ prompt: `${beginning}one`, ...asked });
    const plain = await startServer(await loadTiny(await testGpu(), { slots: 16, prefixBytes: 0 }));
    expect(await choicesOf({ prompt: `${beginning}one`, ...asked }, plain)).toEqual([again]);
    await plain.stop();
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(Number(/^resonant_prefix_cache_hits_total (\d+)$/m.exec(metrics)?.[1])).toBeGreaterThan(448);
  });

  it("accepts a text, its tokens, or a list of either", async () => {
    const tokens = await model.encode(PROMPT);
    const options = { seed: 2, max_tokens: 4, echo: true, logprobs: 1 };
    const [one] = await choicesOf({ prompt: PROMPT, ...options });
    for (const prompt of [[PROMPT], tokens, [tokens]]) {
      expect(await choicesOf({ prompt, ...options })).toEqual([one]);
    }
    const [other] = await choicesOf({ prompt: "another", ...options });
    const both = [one, { ...other, index: 1 }];
    expect(await choicesOf({ prompt: [PROMPT, "another"], ...options })).toEqual(both);
    expect(await choicesOf({ prompt: [tokens, await model.encode("another")], ...options })).toEqual(both);
  });

  it("has n choices per prompt, in the order of the prompts, each equal to the engine's own text", async () => {
    const prompts = [PROMPT, "another"];
    const answer = await complete({ prompt: prompts, n: 3, seed: 3, max_tokens: 8 });
    const own: object[] = [];
    for (const prompt of prompts) {
      for (let choice = 0; choice < 3; choice++) {
        const options = { maxTokens: 8, temperature: 1, topK: 0, topP: 1, seed: 3, choice };
        const { text } = await collect(model.generate(prompt, options));
        own.push({ index: own.length, text, logprobs: null, finish_reason: "length" });
      }
    }
    expect(answer.choices).toEqual(own);
    expect(new Set(answer.choices.map(({ text }) => text)).size).toBe(6);
    const promptTokens = PROMPT.length + "another".length;
    expect(answer.usage).toEqual({
      prompt_tokens: promptTokens, // once, however many choices
      completion_tokens: 6 * 8,
      total_tokens: promptTokens + 6 * 8,
      prompt_tokens_details: { cached_tokens: 0 },
    });
  });

  it("queues choices beyond the free slots, and gives them the same text", async () => {
    const body = { prompt: [PROMPT, "another", "third"], n: 2, seed: 4, max_tokens: 4, logprobs: 1 };
    const narrow = await startServer(model, ["--max-batch-size", "2", "--max-queue-size", "1"]);
    const hasty = await startServer(model, ["--max-batch-size", "2", "--max-queue-size", "0"]);
    try {
      expect(await choicesOf(body, narrow)).toEqual(await choicesOf(body));
      const asked = { ...body, model: model.name };
      const { status, headers, body: refusal } = await post(`${hasty.url}/v1/completions`, asked);
      expect([status, refusal.error.code]).toEqual([503, "resource_error"]);
      expect(Number(headers.get("Retry-After"))).toBeGreaterThanOrEqual(1);
      const [first, second] = await choicesOf({ ...body, prompt: PROMPT }, hasty);
      expect([first, second]).toEqual((await choicesOf(body)).slice(0, 2));
    } finally {
      await Promise.all([narrow.stop(), hasty.stop()]);
    }
  });

  it("ends before a stop string, given alone or in a list", async () => {
    const asked = { prompt: "a", temperature: 0, max_tokens: 8 };
    for (const stop of ["def", ["def"], ["xyz", "def"], ["def", "fg"]]) {
      const { choices, usage } = await complete({ ...asked, stop }, script);
      expect(choices).toEqual([{ index: 0, text: "bc", logprobs: null, finish_reason: "stop" }]);
      expect(usage?.completion_tokens).toBe(5);
    }
    expect(await choicesOf({ ...asked, stop: "xyz" }, script)).toEqual([
      { index: 0, text: "bcdefghi", logprobs: null, finish_reason: "length" },
    ]);
  });

  it("ends where the model ends it", async () => {
    const eos = "h".charCodeAt(0);
    const files = scriptedModelFiles(Buffer.from("abcdefghij"), { eos_token_id: eos });
    const ending = await startServer(await Model.load(await testGpu(), files, { slots: 16 }));
    try {
      const asked = { prompt: "a", temperature: 0, max_tokens: 50, logprobs: 0 };
      const { choices, usage } = await complete(asked, ending);
      expect(choices[0]).toMatchObject({ text: "bcdefg", finish_reason: "stop" });
      expect(choices[0]?.logprobs?.tokens).toHaveLength(7);
      expect(usage?.completion_tokens).toBe(7);
      const { body } = await post(`${ending.url}/v1/generate`, { prompt: "a", temperature: 0 });
      expect(body).toMatchObject({ text: "bcdefg", finish_reason: "eos_token", tokens_generated: 7 });
    } finally {
      await ending.stop();
    }
  });
});

describe("the echo of a prompt", () => {
  it("stands before the text", async () => {
    const body = { prompt: PROMPT, seed: 5, max_tokens: 6 };
    const [plain, echoed] = [await complete(body), await complete({ ...body, echo: true })];
    expect(echoed.choices[0]?.text).toBe(PROMPT + plain.choices[0]?.text);
    expect(echoed.usage).toEqual(plain.usage);
  });

  it("is the whole text with max_tokens 0, and scores the prompt with logprobs", async () => {
    const tokens = await model.encode(PROMPT);
    const body = { prompt: PROMPT, max_tokens: 0, echo: true };
    const { choices, usage } = await complete(body);
    expect(choices).toEqual([{ index: 0, text: PROMPT, logprobs: null, finish_reason: "length" }]);
    expect(usage).toEqual({
      prompt_tokens: tokens.length,
      completion_tokens: 0,
      total_tokens: tokens.length,
      prompt_tokens_details: { cached_tokens: 0 },
    });
    const [scored] = await choicesOf({ ...body, logprobs: 3 });
    const scores = await model.score(tokens, 3);
    expect(scored?.text).toBe(PROMPT);
    expect(scored?.logprobs).toMatchObject({
      tokens: [...PROMPT],
      token_logprobs: [null, ...scores.map(({ logprob }) => logprob)],
      text_offset: [...PROMPT].map((_, i) => i),
    });
    expect(scored?.logprobs?.top_logprobs?.[0]).toBeNull();
    expect(scored?.logprobs?.top_logprobs).toHaveLength(tokens.length);
  });

  it("is left out with max_tokens 0 unless requested", async () => {
    expect(await choicesOf({ prompt: PROMPT, max_tokens: 0 })).toEqual([
      { index: 0, text: "", logprobs: null, finish_reason: "length" },
    ]);
  });

  it("equals the prompt exactly, whatever it contains", async () => {
    for (const prompt of ["\ufeffmarked", "Grüße, 🙂!", "\u0000\t\r\n", "e\u0301"]) {
      const [choice] = await choicesOf({ prompt, max_tokens: 0, echo: true });
      expect(choice?.text).toBe(prompt);
    }
  });
});

describe("logprobs", () => {
  it.each([0, 1, 3, 20])(
    "list each token, its offset, the %d most likely tokens, and always the token itself",
    async (logprobs) => {
      const body = { prompt: "ab", temperature: 1, seed: 6, max_tokens: 8, logprobs };
      const [choice] = await choicesOf(body, script);
      const { tokens, token_logprobs, top_logprobs, text_offset } = choice!.logprobs!;
      expect(tokens.join("")).toBe(choice!.text);
      expect(tokens.map((token, i) => choice!.text.startsWith(token, text_offset[i]))).not.toContain(false);
      expect(token_logprobs.every((each) => each !== null && each <= 0)).toBe(true);
      tokens.forEach((token, i) => {
        const top = top_logprobs![i]!;
        expect(top[token]).toBe(token_logprobs[i]);
        expect(Math.max(...Object.values(top))).toBeGreaterThanOrEqual(token_logprobs[i]!);
        const others = Object.entries(top).filter(([name]) => name !== token);
        expect([logprobs - 1, logprobs]).toContain(others.length);
      });
    },
  );

  it("do not depend on temperature and penalty", async () => {
    const body = {
      prompt: PROMPT,
      temperature: 0.3,
      repetition_penalty: 2,
      seed: 7,
      max_tokens: 8,
      logprobs: 0,
    };
    const options = { temperature: 0.3, topK: 0, topP: 1, repetitionPenalty: 2, seed: 7, maxTokens: 8 };
    const { tokens } = await collect(model.generate(PROMPT, options));
    const prompt = await model.encode(PROMPT);
    const scores = await model.score([...prompt, ...tokens]);
    const [choice] = await choicesOf(body);
    choice!.logprobs!.token_logprobs.forEach((logprob, i) => {
      expect(logprob).toBeCloseTo(scores[prompt.length + i - 1]!.logprob, 3);
    });
  });

  it("count offsets in characters, including an echoed prompt", async () => {
    const [choice] = await choicesOf(
      { prompt: "é🙂a", temperature: 0, max_tokens: 2, echo: true, logprobs: 0 },
      script,
    );
    expect(choice?.text).toBe("é🙂abc");
    expect(choice?.logprobs?.tokens.slice(-3)).toEqual(["a", "b", "c"]);
    expect(choice?.logprobs?.tokens[0]).toBe("bytes:\\xc3");
    expect(choice?.logprobs?.text_offset.slice(-3)).toEqual([2, 3, 4]);
  });
});

describe("text_offset", () => {
  it("counts a prompt's broken last character before the text after it", async () => {
    const body = { prompt: [226, 130], echo: true, logprobs: 1, max_tokens: 3, seed: 1 };
    const [choice] = await choicesOf(body, script);
    expect([...choice!.text]).toHaveLength(4);
    expect(choice!.text.startsWith("\ufffd")).toBe(true);
    expect(choice!.logprobs?.text_offset).toEqual([0, 0, 1, 2, 3]);
  });

  it("ends, as the tokens do, where a stop string cuts the text", async () => {
    const body = { prompt: "ab", temperature: 1, seed: 6, max_tokens: 8, logprobs: 1 };
    const [whole] = await choicesOf(body, script);
    const stop = whole!.text.slice(3, 6);
    const cut = whole!.text.indexOf(stop);
    const [choice] = await choicesOf({ ...body, stop }, script);
    expect(choice!.text).toBe(whole!.text.slice(0, cut));
    const { tokens, token_logprobs, top_logprobs, text_offset } = choice!.logprobs!;
    expect(tokens.join("")).toBe(choice!.text);
    for (const list of [tokens, token_logprobs, top_logprobs!]) expect(list).toHaveLength(text_offset.length);
    expect(text_offset.every((offset) => offset < cut)).toBe(true);
  });
});

describe("a stream of completions", () => {
  it.each([
    ["one", { prompt: PROMPT }],
    ["with an echo", { prompt: PROMPT, echo: true }],
    ["several prompts and choices", { prompt: [PROMPT, "another"], n: 3 }],
    ["with logprobs", { prompt: PROMPT, logprobs: 2 }],
    ["with all of it", { prompt: [PROMPT, "another"], n: 2, echo: true, logprobs: 1 }],
    ["with stop strings", { prompt: PROMPT, n: 4, stop: ["e", "o", " "], logprobs: 0, temperature: 1.5 }],
    ["of no tokens", { prompt: PROMPT, max_tokens: 0, echo: true, logprobs: 1 }],
    ["of no tokens and no echo", { prompt: PROMPT, max_tokens: 0 }],
  ])("adds up to the plain answer: %s", async (_, options) => {
    const body = { seed: 8, max_tokens: 14, ...options };
    const chunks = await stream(body);
    expect(joined(chunks)).toEqual(await choicesOf(body));
    expect(new Set(chunks.map(({ id, created, model }) => `${id} ${created} ${model}`)).size).toBe(1);
    expect(chunks.some((chunk) => "usage" in chunk)).toBe(false);
  });

  it("ends with the usage if requested", async () => {
    const body = { prompt: [PROMPT, "another"], n: 2, seed: 9, max_tokens: 5 };
    const chunks = await stream({ ...body, stream_options: { include_usage: true } });
    const last = chunks.pop()!;
    expect(last.choices).toEqual([]);
    expect(last.usage).toEqual((await complete(body)).usage);
    expect(chunks.map(({ usage }) => usage)).toEqual(chunks.map(() => null));
    for (const stream_options of [null, {}, { include_usage: false }, { include_usage: null }]) {
      expect((await stream({ ...body, stream_options })).some((chunk) => "usage" in chunk)).toBe(false);
    }
  });

  it("says why each choice ended", async () => {
    const body = { prompt: ["a", "d"], temperature: 0, max_tokens: 4, stop: "c" };
    expect(joined(await stream(body, script))).toMatchObject([
      { text: "b", finish_reason: "stop" },
      { text: "efgh", finish_reason: "length" },
    ]);
  });
});
