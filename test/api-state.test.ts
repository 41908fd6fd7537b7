import * as v from "valibot";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { generateResponse } from "../api/schemas/generate.ts";
import { errorResponse } from "../api/schemas/responses.ts";
import { collect } from "../engine/generate.ts";
import { Model } from "../engine/model.ts";
import { testGpu } from "./gpu.ts";
import { loadTiny, scriptedModelFiles } from "./models.ts";
import { post, postStream, startServer, type TestServer } from "./server.ts";

const SECRET = ["--state-secret", "sixteen characters at least"];
const PROMPT = "the oscillators agree";
const SAMPLING = { temperature: 1, top_k: 0, top_p: 1, repetition_penalty: 1.2 };

let model: Model;
let scripted: Model;
let server: TestServer;
let script: TestServer;
let stranger: TestServer;

beforeAll(async () => {
  const gpu = await testGpu();
  model = await loadTiny(gpu, { slots: 16 });
  scripted = await Model.load(gpu, scriptedModelFiles(Buffer.from("abcdefghij")), { slots: 16 });
  server = await startServer(model, SECRET);
  script = await startServer(scripted, SECRET);
  stranger = await startServer(model, ["--state-secret", "another one of sixteen"]);
});

afterAll(() => Promise.all([server, script, stranger].map((each) => each?.stop())));

/** Posts to /v1/generate and expects success; returns the answer. */
async function generate(body: object, { url } = server) {
  const answer = await post(`${url}/v1/generate`, { ...SAMPLING, ...body });
  expect(answer.status).toBe(200);
  return v.parse(generateResponse, answer.body);
}

async function expectConflict(state: string, { url } = server): Promise<void> {
  for (const stream of [false, true]) {
    const { status, body } = await post(`${url}/v1/generate`, { prompt: "", state, stream });
    expect(status).toBe(409);
    const { error, message, details } = v.parse(errorResponse, body);
    expect(error).toBe("conflict");
    expect(message).toContain("state");
    expect(details?.field).toBe("state");
  }
}

describe("a state", () => {
  it("is base64url, and only present if requested", async () => {
    const { state } = await generate({ prompt: PROMPT, max_tokens: 2, return_state: true });
    expect(state).toMatch(/^[\w-]+$/);
    expect(await generate({ prompt: PROMPT, max_tokens: 2 })).not.toHaveProperty("state");
  });

  it.each([1, 2, 7, 23])("continues a text after %d tokens exactly", async (cut) => {
    const whole = await generate({ prompt: PROMPT, max_tokens: 24, seed: 3 });
    const first = await generate({ prompt: PROMPT, max_tokens: cut, seed: 3, return_state: true });
    const second = await generate({ prompt: "", state: first.state, max_tokens: 24 - cut });
    expect(first.text + second.text).toBe(whole.text);
    expect(second).toMatchObject({ prompt: "", seed: 3, tokens_generated: 24 - cut });
  });

  it("continues a text from state to state without a prompt", async () => {
    const whole = await generate({ prompt: PROMPT, max_tokens: 24, seed: 4 });
    let text = "";
    let from: object = { prompt: PROMPT, seed: 4 };
    for (let i = 0; i < 6; i++) {
      const answer = await generate({ ...from, max_tokens: 4, return_state: i < 5 });
      text += answer.text;
      from = { state: answer.state };
    }
    expect(text).toBe(whole.text);
  });

  it("continues with a prompt as the engine's own stream does", async () => {
    const options = {
      temperature: SAMPLING.temperature,
      topK: SAMPLING.top_k,
      topP: SAMPLING.top_p,
      repetitionPenalty: SAMPLING.repetition_penalty,
    };
    const stream = model.open();
    const own: string[] = [];
    try {
      for (const [prompt, more] of [
        [PROMPT, { seed: 5, maxTokens: 9, keepPending: true }],
        [" and drift", { maxTokens: 11 }],
      ] as const) {
        own.push((await collect(model.generate(prompt, { ...options, ...more, stream }))).text);
      }
    } finally {
      stream.close();
    }
    const first = await generate({ prompt: PROMPT, max_tokens: 9, seed: 5, return_state: true });
    const second = await generate({ prompt: " and drift", state: first.state, max_tokens: 11 });
    expect([first.text, second.text]).toEqual(own);
  });

  it("can be continued twice, with another text for another seed", async () => {
    const { state } = await generate({ prompt: PROMPT, max_tokens: 4, seed: 6, return_state: true });
    const [a, b, c] = [
      await generate({ state, max_tokens: 16 }),
      await generate({ state, max_tokens: 16 }),
      await generate({ state, max_tokens: 16, seed: 7 }),
    ];
    expect(a.text).toBe(b.text);
    expect(a.text).not.toBe(c.text);
    expect(c.seed).toBe(7);
  });

  it("holds back text that may belong to a stop sequence", async () => {
    const stop_sequences = ["def"];
    const asked = { prompt: "a", temperature: 0, repetition_penalty: 1, stop_sequences };
    const first = await generate({ ...asked, max_tokens: 4, return_state: true }, script);
    expect(first).toMatchObject({ text: "bc", tokens_generated: 4, finish_reason: "max_tokens" });
    const stopped = await generate({ ...asked, prompt: "", state: first.state, max_tokens: 4 }, script);
    expect(stopped).toMatchObject({ text: "", tokens_generated: 1, finish_reason: "stop_sequence" });
    const free = { ...asked, prompt: "", state: first.state, stop_sequences: null };
    expect((await generate({ ...free, max_tokens: 4 }, script)).text).toBe("defghi");
  });

  it("comes with a stream's last event, and a stream continues it", async () => {
    const whole = await generate({ prompt: PROMPT, max_tokens: 20, seed: 8 });
    let text = "";
    let from: object = { prompt: PROMPT, seed: 8 };
    for (const return_state of [true, false]) {
      const events = await postStream(`${server.url}/v1/generate`, {
        ...SAMPLING,
        ...from,
        max_tokens: 10,
        stream: true,
        return_state,
      });
      const last = events.pop()!;
      expect(last.event).toBe("done");
      text += events.map(({ data }) => JSON.parse(data).text).join("");
      const done = v.parse(generateResponse, JSON.parse(last.data));
      expect(typeof done.state).toBe(return_state ? "string" : "undefined");
      from = { prompt: "", state: done.state };
    }
    expect(text).toBe(whole.text);
  });

  it("moves between servers that share a secret, and between formats of a model's weights", async () => {
    const whole = await generate({ prompt: PROMPT, max_tokens: 20, seed: 9 });
    const { state, text } = await generate({ prompt: PROMPT, max_tokens: 8, seed: 9, return_state: true });
    const half = await loadTiny(await testGpu(), { slots: 16, format: "f16" });
    const [other, rounded] = [await startServer(model, SECRET), await startServer(half, SECRET)];
    try {
      expect(text + (await generate({ state, max_tokens: 12 }, other)).text).toBe(whole.text);
      expect((await generate({ state, max_tokens: 12 }, rounded)).tokens_generated).toBe(12);
    } finally {
      await Promise.all([other.stop(), rounded.stop()]);
    }
  });
});

describe("a state is refused with 409", () => {
  let state: string;

  beforeAll(async () => {
    state = (await generate({ prompt: PROMPT, max_tokens: 3, return_state: true })).state!;
  });

  it.each([0, 20, 43, 60, 500, -2])("if the character at %d was changed", async (at) => {
    const i = at < 0 ? state.length + at : at;
    const changed = state.slice(0, i) + (state[i] === "A" ? "B" : "A") + state.slice(i + 1);
    await expectConflict(changed);
  });

  it("if it was truncated or extended", async () => {
    for (const length of [1, 42, 43, 44, 100, state.length - 4, state.length - 1]) {
      await expectConflict(state.slice(0, length));
    }
    for (const more of ["A", "AAAA", "=", "==", "\n", " "]) await expectConflict(state + more);
    await expectConflict(` ${state}`);
  });

  it("if it is not a state", async () => {
    for (const text of ["a", "{}", "ü", "🙂", "null", "A".repeat(1000)]) await expectConflict(text);
  });

  it("if it is from another server without a shared secret", async () => {
    await expectConflict(state, stranger);
    const [a, b] = [await startServer(model), await startServer(model)];
    try {
      const own = (await generate({ prompt: PROMPT, max_tokens: 2, return_state: true }, a)).state!;
      expect((await generate({ state: own, max_tokens: 2 }, a)).tokens_generated).toBe(2);
      await expectConflict(own, b);
    } finally {
      await Promise.all([a.stop(), b.stop()]);
    }
  });

  it("if it belongs to another model", async () => {
    const { state: other } = await generate({ prompt: "a", max_tokens: 3, return_state: true }, script);
    await expectConflict(other!);
  });

  it("and every slot is free afterwards", () => {
    for (const { runner } of [model, scripted]) expect(runner.pool.free).toBe(runner.pool.slots);
  });
});
