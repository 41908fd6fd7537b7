import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { collect } from "../engine/generate.ts";
import { Model } from "../engine/model.ts";
import { loadModel } from "../engine/platform/node/index.ts";
import { chatModelFiles } from "./chat-models.ts";
import { resonant } from "./cli.ts";
import { testGpu } from "./gpu.ts";
import { post, postStream, startServer, type TestServer } from "./server.ts";

// 1/T of those from 1e-46 to 1e-39 is infinite in f32; the next are the least normal f32 and what lies above it.
const LOW = [
  1e-46, 1e-45, 1e-40, 2.9e-39, 1e-39, 1.17e-38, 1.1754943e-38, 1.2e-38, 1e-37, 1e-35, 1e-30, 1e-3,
];
const PROMPT = "the oscillators agree";
const MESSAGES = [{ role: "user", content: "What agrees?" }];
const TOKENS = 12;

let model: Model;
let server: TestServer;

beforeAll(async () => {
  model = await Model.load(await testGpu(), await chatModelFiles(), { slots: 16 });
  server = await startServer(model);
});

afterAll(() => server?.stop());

const bodyOf = (temperature: number) => ({ model: model.name, max_tokens: TOKENS, temperature, seed: 5 });

async function answer(path: string, body: object) {
  const { status, body: answer } = await post(server.url + path, body);
  expect([status, answer.message, answer.error]).toEqual([200, undefined, undefined]);
  return answer;
}

/** The data of a stream's events, without its end. */
async function pieces(path: string, body: object) {
  const events = await postStream(server.url + path, { ...body, stream: true });
  return events.filter(({ data }) => data !== "[DONE]").map(({ data }) => JSON.parse(data));
}

let sessions = 0;

/** How each endpoint that samples gives its text. */
const endpoints: Readonly<Record<string, (temperature: number) => Promise<string>>> = {
  generate: async (temperature) =>
    (await answer("/v1/generate", { ...bodyOf(temperature), prompt: PROMPT })).text,
  "generate with phase temperature": async (temperature) => {
    const body = { ...bodyOf(temperature), prompt: PROMPT, phase_temperature: 0.5 };
    return (await answer("/v1/generate", body)).text;
  },
  "generate as a stream": async (temperature) => {
    const all = await pieces("/v1/generate", { ...bodyOf(temperature), prompt: PROMPT });
    return all.at(-1).text;
  },
  completions: async (temperature) => {
    const body = { ...bodyOf(temperature), prompt: PROMPT, n: 2 };
    const { choices } = await answer("/v1/completions", body);
    return choices.map(({ text }: { text: string }) => text).join("|");
  },
  "completions as a stream": async (temperature) => {
    const all = await pieces("/v1/completions", { ...bodyOf(temperature), prompt: PROMPT });
    return all.map(({ choices }) => choices[0]?.text ?? "").join("");
  },
  chat: async (temperature) => {
    const body = { ...bodyOf(temperature), messages: MESSAGES };
    return (await answer("/v1/chat/completions", body)).choices[0].message.content;
  },
  "chat as a stream": async (temperature) => {
    const all = await pieces("/v1/chat/completions", { ...bodyOf(temperature), messages: MESSAGES });
    return all.map(({ choices }) => choices[0]?.delta.content ?? "").join("");
  },
  "a session's turns": async (temperature) => {
    const session = `temperature-${++sessions}`;
    const first = await answer("/v1/generate", { ...bodyOf(temperature), session, prompt: PROMPT });
    const second = await answer("/v1/generate", { ...bodyOf(temperature), session, prompt: " again" });
    return first.text + second.text;
  },
  "the library": async (temperature) =>
    (await collect(model.generate(PROMPT, { maxTokens: TOKENS, temperature, seed: 5 }))).text,
};

describe("a low temperature writes the greedy text", () => {
  it.each(Object.entries(endpoints))("in %s", async (_, text) => {
    const greedy = await text(0);
    expect(greedy).not.toContain("\0");
    expect(greedy.length).toBeGreaterThan(0);
    expect(await text(1)).not.toBe(greedy);
    for (const temperature of LOW)
      expect([temperature, await text(temperature)]).toEqual([temperature, greedy]);
  });

  it("on the command line", async () => {
    const write = async (temperature: string): Promise<string> => {
      const settings = ["-n", "20", "--seed", "5", "--temperature", temperature];
      const { code, out, err } = await resonant(["generate", "ROMEO:", ...settings]);
      expect([code, err]).toEqual([0, ""]);
      return out;
    };
    const greedy = await write("0");
    expect(greedy).not.toContain("\0");
    for (const temperature of ["1e-46", "2.9e-39", "1.2e-38", "1e-30", "1e-3"]) {
      expect([temperature, await write(temperature)]).toEqual([temperature, greedy]);
    }
  });

  it("in the library, of the default model", async () => {
    const own = await loadModel();
    try {
      const write = (temperature: number) =>
        collect(own.generate("ROMEO:", { maxTokens: 20, temperature, seed: 5 }));
      const greedy = await write(0);
      for (const temperature of LOW) expect((await write(temperature)).tokens).toEqual(greedy.tokens);
    } finally {
      own.gpu.destroy();
    }
  });
});
