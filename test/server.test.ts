import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { text as readText } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { getRequestListener } from "@hono/node-server";
import { Validator } from "@seriousme/openapi-schema-validator";
import { Hono } from "hono";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { Env } from "../api/context.ts";
import { ClientLeft } from "../api/errors.ts";
import { Readers } from "../api/readers.ts";
import type { Settings } from "../api/settings.ts";
import { eventStream } from "../api/sse.ts";
import { collect } from "../engine/generate.ts";
import { Model } from "../engine/model.ts";
import { testGpu } from "./gpu.ts";
import { loadDefault, loadTiny, readJson, scriptedModelFiles } from "./models.ts";
import { openRequest, post, readEvents, settingsOf, startServer, type TestServer, until } from "./server.ts";

const gpu = await testGpu();
const servers: TestServer[] = [];

async function serve(...options: Parameters<typeof startServer>): Promise<TestServer> {
  const server = await startServer(...options);
  servers.push(server);
  return server;
}

afterEach(async () => {
  vi.restoreAllMocks();
  for (const server of servers.splice(0)) await server.stop();
});

let tiny: Model;
beforeAll(async () => {
  tiny = await loadTiny(gpu, { slots: 8 });
});

/** Expects that nothing runs or waits, and that every slot is free. */
function expectIdle({ service }: TestServer, model: Model): void {
  expect([service.admission.running, service.admission.waiting]).toEqual([0, 0]);
  expect(model.runner.pool.free).toBe(model.runner.pool.slots);
  expect(model.runner.snapshots.free).toBe(model.runner.snapshots.slots);
}

const idle = ({ service }: TestServer) =>
  until(() => service.admission.running + service.admission.waiting === 0, "idle");

const long = { prompt: "on and on", max_tokens: 2000, temperature: 1, seed: 3 };
const RUN_AHEAD = 8;

describe("a client that disconnects", () => {
  it.each([
    ["/v1/generate", { ...long, stream: true }],
    ["/v1/completions", { ...long, model: "native_long", stream: true }],
  ])("mid-stream of %s frees its slot within the run-ahead depth plus one steps", async (path, body) => {
    const server = await serve(tiny, ["--log-level", "info"]);
    let steps = 0;
    const run = tiny.runner.batch.bind(tiny.runner);
    vi.spyOn(tiny.runner, "batch").mockImplementation((...call) => {
      steps += call[1];
      return run(...call);
    });
    const { response, leave } = openRequest(server.url + path, body);
    let events = 0;
    for await (const _ of readEvents(await response)) if (++events === 5) break;
    expect(server.service.admission.running).toBe(1);
    leave();
    await until(() => server.log.some((line) => line.includes("Status: 499")), "the server has noticed");
    const noticed = steps;
    await idle(server);
    expect(steps - noticed).toBeLessThanOrEqual(RUN_AHEAD + 1);
    expect(steps).toBeLessThan(long.max_tokens / 2);
    expectIdle(server, tiny);
  });

  it("before its response is ready frees its slot", async () => {
    const server = await serve(tiny);
    const { leave } = openRequest(`${server.url}/v1/generate`, long);
    await until(() => server.service.admission.running === 1, "running");
    leave();
    await idle(server);
    expectIdle(server, tiny);
  });

  it("while it waits leaves the queue, and later requests move up", async () => {
    const server = await serve(tiny, ["--max-batch-size", "1"]);
    const first = openRequest(`${server.url}/v1/generate`, { ...long, stream: true });
    await first.response;
    const second = openRequest(`${server.url}/v1/generate`, long);
    await until(() => server.service.admission.waiting === 1, "the second waits");
    const third = post(`${server.url}/v1/generate`, { prompt: "third", max_tokens: 2 });
    await until(() => server.service.admission.waiting === 2, "the third waits");
    second.leave();
    await until(() => server.service.admission.waiting === 1, "the second has left");
    first.leave();
    expect((await third).status).toBe(200);
    await idle(server);
    expectIdle(server, tiny);
  });

  it("cancels all choices of a completion, both running and waiting", async () => {
    const server = await serve(tiny, ["--max-batch-size", "2"]);
    const body = { ...long, model: "native_long", prompt: ["one", "two"], n: 3, stream: true };
    const { response, leave } = openRequest(`${server.url}/v1/completions`, body);
    await response;
    expect(server.service.admission.waiting).toBe(4);
    leave();
    await idle(server);
    expectIdle(server, tiny);
  });

  it("or does not read its stream is cut off after the idle time-out", async () => {
    const settings: Settings = settingsOf(["--idle-timeout", "0.2"]);
    let ended = false;
    const app = new Hono<Env>();
    app.get("/", (c) => {
      const gone = new AbortController();
      c.set("signal", gone.signal);
      c.env.outgoing.once("close", () => gone.abort(new ClientLeft()));
      const endless = (async function* () {
        try {
          for (;;) yield { data: "x".repeat(2 ** 16) };
        } finally {
          ended = true;
        }
      })();
      const service = { settings, parks: true, readers: new Readers(settings) };
      return eventStream(c, service as TestServer["service"], endless, () => undefined);
    });
    const server = createServer(getRequestListener(app.fetch, { overrideGlobalObjects: false }));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await once(socket, "readable");
    socket.pause();
    await until(() => ended, "cut off");
    socket.destroy();
    server.close();
  });
});

it("answers each of 200 requests with a queue of 16, correctly or with a refusal", async () => {
  const server = await serve(tiny, ["--max-batch-size", "4", "--max-queue-size", "16"]);
  const requestOf = (seed: number) => ({ prompt: `number ${seed}`, max_tokens: 8, temperature: 1, seed });
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, seed) => post(`${server.url}/v1/generate`, requestOf(seed))),
  );
  const served = answers.filter(({ status }) => status === 200);
  expect(served.length).toBeGreaterThanOrEqual(20);
  for (const [seed, { status, headers, body }] of answers.entries()) {
    if (status === 200) {
      expect(body.prompt).toBe(`number ${seed}`);
      continue;
    }
    expect(status).toBe(503);
    expect(body.error).toBe("resource_error");
    expect(Number(headers.get("Retry-After"))).toBeGreaterThanOrEqual(1);
  }
  for (const { body } of served.slice(0, 10)) {
    const options = { maxTokens: 8, temperature: 1, seed: body.seed };
    expect((await collect(tiny.generate(body.prompt, options))).text).toBe(body.text);
  }
  expectIdle(server, tiny);
});

it("loses no slot if a third of 60 clients disconnect at any moment", async () => {
  const server = await serve(tiny, ["--max-batch-size", "4"]);
  const answers = await Promise.all(
    Array.from({ length: 60 }, async (_, i) => {
      const { response, leave } = openRequest(`${server.url}/v1/generate`, {
        ...long,
        max_tokens: 12,
        stream: i % 2 === 0,
      });
      if (i % 3 === 0) setTimeout(leave, i * 5);
      const left = await response.then(readText).catch(() => "left");
      return i % 3 === 0 || left.includes("tokens_generated");
    }),
  );
  expect(answers).not.toContain(false);
  await idle(server);
  expectIdle(server, tiny);
});

describe("a model that generates an emoji and a stop string in four tokens each", () => {
  const SAID = "ab🎭cdSTOPe";
  const before = "ab🎭cd";

  async function scripted(): Promise<[Model, TestServer]> {
    const model = await Model.load(gpu, scriptedModelFiles(new TextEncoder().encode(SAID)), { slots: 2 });
    return [model, await serve(model)];
  }

  it("never streams part of an emoji or of a stop string, in either format", async () => {
    const [model, { url }] = await scripted();
    const common = { prompt: "e", temperature: 0, max_tokens: 40, stream: true };
    for (const [path, body, textOf] of [
      ["/v1/generate", { ...common, stop_sequences: ["STOP"] }, (data: { text?: string }) => data.text],
      [
        "/v1/completions",
        { ...common, model: model.name, stop: "STOP" },
        (data: { choices?: { text: string }[] }) => data.choices?.[0]?.text,
      ],
    ] as const) {
      const { response } = openRequest(url + path, body);
      const texts: string[] = [];
      for await (const { event, data } of readEvents(await response)) {
        if (event === "message" && data !== "[DONE]") texts.push(textOf(JSON.parse(data)) ?? "");
      }
      expect(texts.join("")).toBe(before);
      expect(texts.filter((text) => text !== "")).toEqual(["a", "b", "🎭", "c", "d"]);
    }
  });

  it("keeps held-back text in the state, and stops there in the next request", async () => {
    const [, { url }] = await scripted();
    const asked = { temperature: 0, stop_sequences: ["STOP"], return_state: true };
    const sizes = [4, 3, 2, 5];
    let [text, state, prompt] = ["", undefined as string | undefined, "e"];
    for (const max_tokens of sizes) {
      const { status, body } = await post(`${url}/v1/generate`, { ...asked, prompt, max_tokens, state });
      expect(status).toBe(200);
      expect(body.text).not.toMatch(/\ufffd|S/);
      [text, state, prompt] = [text + body.text, body.state, ""];
      if (body.finish_reason === "stop_sequence") break;
    }
    expect(text).toBe(before);
  });
});

describe("the default model's metrics", () => {
  let model: Model;
  let server: TestServer;
  const expected = readJson("shakespeare/expected.json") as {
    greedy_prompt: string;
    greedy_text: string;
    phase: { phase_coherence_greedy_mean: number; gamma: number[] };
  };
  const asked = { return_phase_metrics: true, return_memory_stats: true, temperature: 0, max_tokens: 200 };

  beforeAll(async () => {
    model = await loadDefault(gpu);
  });

  it("match the reference's, and the engine's own", async () => {
    server = await serve(model);
    const { body } = await post(`${server.url}/v1/generate`, { ...asked, prompt: expected.greedy_prompt });
    expect(body.text).toBe(expected.greedy_text);
    const close = (value: number, right: number) => expect(Math.abs(value - right)).toBeLessThan(1e-4);
    close(body.phase_metrics.phase_coherence, expected.phase.phase_coherence_greedy_mean);
    close(body.phase_metrics.gamma_mean, expected.phase.gamma.reduce((sum, x) => sum + x) / 4);
    const options = { temperature: 0, maxTokens: 200, metrics: true };
    const { phase, memory } = await collect(model.generate(expected.greedy_prompt, options));
    const { phase_metrics: told, memory_stats: stats } = body;
    close(told.phase_coherence, phase!.phaseCoherence!);
    close(told.gamma_mean, phase!.gammaMean!);
    expect(told.omega_values).toEqual(phase!.omegaValues);
    expect(told.phase_offsets).toEqual(phase!.phaseOffsets);
    close(stats.pvm_mem_norm, memory!.pvmMemoryNorm!);
    close(stats.pvm_gate_strength, memory!.pvmGateStrength!);
    close(stats.plm_coherence, memory!.plmCoherence!);
    expect(stats.total_memory_kb).toBe(memory!.memoryBytes / 1024);
  });

  it("differ between prompts, and are absent unless requested", async () => {
    server = await serve(model);
    const url = `${server.url}/v1/generate`;
    const one = await post(url, { ...asked, prompt: "KING HENRY:", max_tokens: 10 });
    const other = await post(url, { ...asked, prompt: "0123456789 abc", max_tokens: 10 });
    for (const field of ["pvm_mem_norm", "pvm_gate_strength", "plm_coherence"]) {
      expect(one.body.memory_stats[field]).not.toBe(other.body.memory_stats[field]);
    }
    expect(one.body.phase_metrics.phase_coherence).not.toBe(other.body.phase_metrics.phase_coherence);
    const { body } = await post(url, { prompt: "KING HENRY:", max_tokens: 1 });
    expect([body.phase_metrics, body.memory_stats]).toEqual([null, null]);
  });
});

describe("what a server reports", () => {
  it("is one log line per request in the contract's format, written after the whole body", async () => {
    const server = await serve(tiny);
    const start = performance.now();
    await post(`${server.url}/v1/generate`, { prompt: "x", max_tokens: 3 });
    await fetch(`${server.url}/nowhere?secret=1`);
    await until(() => server.log.length >= 2, "two lines");
    const line =
      /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - INFO - (\w+) (\S+) - Status: (\d+) - Duration: (\d+\.\d\d)ms\n$/;
    const [first, second] = server.log.map((text) => line.exec(text)?.slice(1));
    expect(first?.slice(0, 3)).toEqual(["POST", "/v1/generate", "200"]);
    expect(Number(first?.[3])).toBeLessThan(performance.now() - start);
    expect(second?.slice(0, 3)).toEqual(["GET", "/nowhere", "404"]);
  });

  it("is one JSON object per line with --log-format json, with the duration of the whole stream", async () => {
    const server = await serve(tiny, ["--log-format", "json"]);
    const { response } = openRequest(`${server.url}/v1/generate`, { ...long, max_tokens: 40, stream: true });
    const start = performance.now();
    const opened = await response;
    const headers = performance.now() - start;
    await readText(opened);
    await until(() => server.log.length > 0, "a line");
    const record = JSON.parse(server.log[0]!);
    expect(record).toMatchObject({ level: 30, method: "POST", path: "/v1/generate", status: 200 });
    expect(record.request_id).toBe(opened.headers["x-request-id"]);
    expect(record.duration_ms).toBeGreaterThan(headers);
    expect(Date.parse(record.time)).not.toBeNaN();
  });

  it("counts requests, tokens and latencies in Prometheus's format", async () => {
    const server = await serve(tiny);
    await post(`${server.url}/v1/generate`, { prompt: "four", max_tokens: 5 });
    await post(`${server.url}/v1/generate`, { prompt: "four", max_tokens: 0 });
    const waiting = openRequest(`${server.url}/v1/generate`, { ...long, stream: true });
    await waiting.response;
    const response = await fetch(`${server.url}/metrics`);
    expect(response.headers.get("Content-Type")).toMatch(/^text\/plain; version=0\.0\.4/);
    const samples = new Map(
      (await response.text())
        .split("\n")
        .filter((line) => line && !line.startsWith("#"))
        .map((line): [string, number] => {
          const at = line.lastIndexOf(" ");
          return [line.slice(0, at), Number(line.slice(at + 1))];
        }),
    );
    waiting.leave();
    const value = (name: string) => samples.get(`resonant_${name}`);
    expect(value("num_requests_running")).toBe(1);
    expect(value("num_requests_waiting")).toBe(0);
    expect(value("state_bytes")).toBe(tiny.runner.pool.stateBytes);
    expect(value("gpu_bytes")).toBe(tiny.gpu.bytes);
    expect(value("prompt_tokens_total")).toBe(4);
    expect(value("generation_tokens_total")).toBeGreaterThanOrEqual(5);
    expect(value('requests_finished_total{reason="max_tokens"}')).toBe(1);
    expect(value("time_to_first_token_seconds_count")).toBe(2);
    expect(value("inter_token_latency_seconds_count")).toBeGreaterThanOrEqual(4);
    expect(value("e2e_request_latency_seconds_count")).toBe(1);
    const answered = (status: number) =>
      value(`http_requests_total{method="POST",route="/v1/generate",status="${status}"}`);
    expect([answered(200), answered(400)]).toEqual([1, 1]);
    await idle(server);
  });

  it("is an OpenAPI 3.1 document that names every path and the limits in force", async () => {
    const server = await serve(tiny, ["--max-tokens-limit", "77", "--api-keys", "k"]);
    const document = await fetch(`${server.url}/openapi.json`).then((response) => response.json());
    const { valid, errors } = await new Validator().validate(structuredClone(document));
    expect(errors).toBeUndefined();
    expect(valid).toBe(true);
    expect(Object.keys(document.paths).sort()).toEqual(
      [
        "/",
        "/detokenize",
        "/health",
        "/livez",
        "/metrics",
        "/readyz",
        "/tokenize",
        "/v1/completions",
        "/v1/generate",
        "/v1/health",
        "/v1/model/info",
        "/v1/models",
        "/v1/models/{model}",
        "/v1/retrieve",
        "/v1/sessions",
        "/v1/sessions/{name}",
        "/v1/sessions/{name}/export",
        "/v1/sessions/{name}/fork",
        "/v1/sessions/{name}/import",
      ].sort(),
    );
    const { get: told, delete: forgotten } = document.paths["/v1/sessions/{name}"];
    for (const { parameters } of [told, forgotten]) {
      expect(parameters).toMatchObject([
        { name: "name", in: "path", required: true, schema: { type: "string" } },
      ]);
    }
    expect(document.paths["/v1/sessions"].get.parameters).toMatchObject([
      {
        name: "limit",
        in: "query",
        required: false,
        schema: { type: "integer", maximum: 1000, default: 100 },
      },
      { name: "after", in: "query", required: false },
    ]);
    expect(document.components.schemas.GenerateRequest.properties.max_tokens.maximum).toBe(77);
    expect(document.paths["/v1/generate"].post.security).toEqual([{ bearer: [] }]);
  });

  it("is its health: /livez and /v1/health are 503 when the device is lost, and requests are refused", async () => {
    const own = await loadTiny(
      await (await import("../engine/device/gpu.ts")).Gpu.open(await freshAdapter()),
      {
        slots: 2,
      },
    );
    const server = await serve(own);
    expect((await fetch(`${server.url}/livez`)).status).toBe(200);
    own.gpu.destroy();
    await own.gpu.device.lost;
    expect((await fetch(`${server.url}/livez`)).status).toBe(503);
    expect((await fetch(`${server.url}/readyz`)).status).toBe(503);
    expect((await fetch(`${server.url}/v1/health`)).status).toBe(503);
    const { status, body } = await post(`${server.url}/v1/generate`, { prompt: "x" });
    expect([status, body.error]).toEqual([503, "resource_error"]);
  });
});

const freshAdapter = async () => (await import("../engine/platform/node/device.ts")).requestAdapter();

describe("time-outs", () => {
  it("close a connection whose headers do not arrive", async () => {
    const server = await serve(tiny, ["--headers-timeout", "0.2"]);
    const socket = connect(server.port, "127.0.0.1");
    socket.write("POST /v1/generate HTTP/1.1\r\nHost: localhost\r\n");
    expect(await readText(socket)).toMatch(/^HTTP\/1\.1 408 .*"message":"the request did not come in time"/s);
  });

  it("end a request whose body does not arrive", async () => {
    const server = await serve(tiny, ["--headers-timeout", "0.2", "--request-timeout", "0.4"]);
    const socket = connect(server.port, "127.0.0.1");
    const head =
      "POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    socket.write(head);
    await readText(socket);
    await idle(server);
  });
});

it("a server that drains answers half a body with 503, and does not wait for the rest", async () => {
  const server = await serve(tiny, ["--drain-timeout", "1000000"]);
  const socket = connect(server.port, "127.0.0.1");
  const head =
    "POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9";
  await new Promise((resolve) => socket.write(`${head}\r\n\r\n{`, resolve));
  await until(() => server.service.requests.size === 1, "the request is under way");
  const answer = readText(socket);
  await server.stop();
  expect(await answer).toMatch(/^HTTP\/1\.1 503 .*"message":"the server is shutting down"/s);
});

describe("resonant serve, at SIGTERM", () => {
  const cli = fileURLToPath(new URL("../dist/cli.js", import.meta.url));

  const start = (...flags: string[]) => startUntil(/( - |"msg":")serving /, flags);

  async function startUntil(
    ready: RegExp,
    flags: readonly string[],
  ): Promise<{ child: ChildProcess; url: string; log: () => string }> {
    const { API_KEYS: _keys, MODEL_NAME: _model, MODEL_CHECKPOINT: _checkpoint, ...env } = process.env;
    const child = spawn(process.execPath, [cli, "serve", "--host", "127.0.0.1", "--port", "0", ...flags], {
      env,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let log = "";
    child.stderr!.on("data", (chunk: Buffer) => {
      log += chunk;
    });
    await until(() => ready.test(log) || child.exitCode !== null, "it serves", 100_000);
    const url = /listening on (http:[^\s"]+)/.exec(log)?.[1];
    if (!url) throw new Error(log);
    return { child, url, log: () => log };
  }

  it("finishes 8 streams and the waiting ones, accepts no more, and exits with 0", async () => {
    const { child, url, log } = await start("--max-batch-size", "8");
    const ended = once(child, "exit");
    const seeds = Array.from({ length: 10 }, (_, seed) => seed);
    const texts = seeds.map(async (seed) => {
      const body = { prompt: "ROMEO:", max_tokens: 60, temperature: 1, seed, stream: true };
      const { response } = openRequest(`${url}/v1/generate`, body);
      let text = "";
      for await (const { event, data } of readEvents(await response)) {
        started.add(seed);
        if (event === "message") text += JSON.parse(data).text;
        if (event === "done") return { text, whole: JSON.parse(data).text as string };
      }
      throw new Error("a stream was cut");
    });
    const started = new Set<number>();
    await until(() => started.size === 8, "8 streams", 60_000);
    child.kill("SIGTERM");
    await until(() => log().includes("draining"), "draining");
    await expect(post(`${url}/v1/generate`, { prompt: "late" })).rejects.toThrow();
    for (const { text, whole } of await Promise.all(texts)) {
      expect(text).toHaveLength(60);
      expect(text).toBe(whole);
    }
    expect(await ended).toEqual([0, null]);
    expect(log()).toMatch(/ - INFO - stopped\n$/);
  });

  it("cuts off streams that do not end within the drain time-out", async () => {
    const { child, url, log } = await start("--drain-timeout", "0.5");
    const ended = once(child, "exit");
    const { response } = openRequest(`${url}/v1/generate`, { ...long, max_tokens: 2048, stream: true });
    const reading = response.then(readText);
    await response;
    child.kill("SIGTERM");
    expect(await ended).toEqual([0, null]);
    const last = (await reading).trimEnd().split("\n\n").at(-1);
    expect(last).toMatch(
      /^event: error\ndata: \{"error":"resource_error","message":"the server is shutting down"/,
    );
    expect(log()).toContain("cut off, since they did not end in time: 1 running requests, 0 waiting");
    expect(log()).not.toContain("ERROR");
  });

  it("writes every line of its error stream as JSON with --log-format json, Dawn's too, and ends with its supervisor", async () => {
    const flags = ["--log-format", "json", "--log-level", "debug"];
    const { child, log } = await startUntil(/"source":"stderr"|"msg":"serving/, flags);
    const ended = once(child, "exit");
    child.kill("SIGTERM");
    expect(await ended).toEqual([0, null]);
    const entries = log()
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(entries.at(-1)).toMatchObject({ level: 30, msg: "stopped" });
    expect(entries.filter(({ msg }) => msg === "SIGTERM received")).toHaveLength(1);

    const killed = await startUntil(/listening/, ["--log-format", "json"]);
    killed.child.kill("SIGKILL");
    await vi.waitFor(() => expect(fetch(killed.url)).rejects.toThrow(), 20_000);
  });

  it("explains a wrong setting, a port in use and a missing model", async () => {
    const failing = async (flags: string[], env: Record<string, string> = {}) => {
      const child = spawn(process.execPath, [cli, "serve", ...flags], { env: { ...process.env, ...env } });
      const [error, [code]] = await Promise.all([readText(child.stderr), once(child, "exit")]);
      return { error, code };
    };
    const badPort = await failing([], { API_PORT: "many" });
    expect(badPort.code).toBe(2);
    expect(badPort.error).toMatch(/API_PORT.*whole number from 0 to 65535/s);
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as AddressInfo;
    const inUse = await failing(["--host", "127.0.0.1", "--port", String(port)]);
    taken.close();
    expect(inUse.error).toMatch(/--port.*EADDRINUSE/);
    const noModel = await failing(["--host", "127.0.0.1", "--port", "0", "--checkpoint", "/nowhere"]);
    expect(noModel.code).not.toBe(0);
    expect(noModel.error).toMatch(/\/nowhere/);
  });
});
