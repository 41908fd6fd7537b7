import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import * as v from "valibot";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { errorResponse, openAiErrorResponse, probeResponse } from "../api/schemas/responses.ts";
import type { Model } from "../engine/model.ts";
import { testGpu } from "./gpu.ts";
import { loadTiny } from "./models.ts";
import { type Answer, post, startServer, type TestServer, until } from "./server.ts";

const POSTS = ["/v1/generate", "/v1/retrieve", "/v1/completions"];
const GETS = [
  "/",
  "/v1/health",
  "/v1/model/info",
  "/v1/models",
  "/livez",
  "/readyz",
  "/metrics",
  "/openapi.json",
];
const SHORT = { prompt: "a", max_tokens: 1 };

let model: Model;
let server: TestServer;

beforeAll(async () => {
  model = await loadTiny(await testGpu(), { slots: 16 });
  server = await startServer(model);
});

afterAll(() => server?.stop());

const others: TestServer[] = [];

/** Starts a server for one test. */
async function serverWith(...flags: string[]): Promise<TestServer> {
  const started = await startServer(model, flags);
  others.push(started);
  return started;
}

afterEach(async () => {
  vi.useRealTimers();
  await Promise.all(others.splice(0).map((other) => other.stop()));
});

async function get(url: string, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await fetch(url, { headers });
  return { status: response.status, headers: response.headers, body: await response.json() };
}

/** Expects an error in the format of its path, with a request id. */
function expectError(path: string, answer: Answer, status: number, word: string): void {
  expect(answer.status).toBe(status);
  expect(answer.headers.get("X-Request-Id")).toMatch(/./);
  if (/completions|models/.test(path)) {
    const { error } = v.parse(v.strictObject(openAiErrorResponse.entries), answer.body);
    expect(error.code).toBe(word);
  } else {
    expect(v.parse(v.strictObject(errorResponse.entries), answer.body).error).toBe(word);
  }
}

/** Sends raw bytes; returns the response when the server closes the connection or `enough` has arrived. */
async function raw(
  text: string,
  enough: (answer: string) => boolean = () => false,
  port = server.port,
): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  let answer = "";
  try {
    await once(socket, "connect");
    const done = new Promise<void>((resolve) => {
      socket.on("data", (chunk) => {
        answer += chunk;
        if (enough(answer)) resolve();
      });
      socket.on("error", () => resolve()); // a server that closes may reset
      socket.on("close", () => resolve());
    });
    socket.write(text);
    await done;
  } finally {
    socket.destroy();
  }
  return answer;
}

const hasHead = (answer: string): boolean => answer.includes("\r\n\r\n");

describe("a body's headers", () => {
  it.each(POSTS)("must declare JSON: 415 from %s", async (path) => {
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json"]) {
      const answer = await post(server.url + path, SHORT, { "Content-Type": type });
      expectError(path, answer, 415, "unsupported_media_type");
    }
    const none = await fetch(server.url + path, { method: "POST", body: Uint8Array.of(0x7b, 0x7d) });
    expect(none.status).toBe(415);
    const nothing = await fetch(server.url + path, { method: "POST" });
    expect(nothing.status).toBe(415);
  });

  it.each(["application/json; charset=utf-8", "Application/JSON", "application/vnd.api+json"])(
    "may declare it as %s",
    async (type) => {
      const { status } = await post(`${server.url}/v1/generate`, SHORT, { "Content-Type": type });
      expect(status).toBe(200);
    },
  );

  it.each(POSTS)("must not declare compression: 415 from %s", async (path) => {
    for (const coding of ["gzip", "br", "deflate"]) {
      const answer = await post(server.url + path, SHORT, { "Content-Encoding": coding });
      expectError(path, answer, 415, "unsupported_media_type");
    }
  });

  it("may declare that it is not compressed", async () => {
    const { status } = await post(`${server.url}/v1/generate`, SHORT, { "Content-Encoding": "identity" });
    expect(status).toBe(200);
  });
});

describe("a body that is too large", () => {
  const head = (path: string, more: string): string =>
    `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${more}\r\n\r\n`;

  it.each(POSTS)("gets 413 by its Content-Length, before any of it is read, from %s", async (path) => {
    const { port } = await serverWith("--max-body-bytes", "1000");
    const answer = await raw(head(path, "Content-Length: 10000000000"), hasHead, port);
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
    expect(answer).toMatch(/^connection: close\r$/im); // the rest of the body would follow, so no other request can
  });

  it.each(POSTS)("gets 413 in chunks, once the limit is passed, from %s", async (path) => {
    const { port } = await serverWith("--max-body-bytes", "1000");
    const chunk = `400\r\n${" ".repeat(0x400)}\r\n`; // and no final chunk
    const answer = await raw(head(path, "Transfer-Encoding: chunked") + chunk, hasHead, port);
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
  });

  it.each(POSTS)("gets the limit in the error format of %s, and the server continues", async (path) => {
    const { url } = await serverWith("--max-body-bytes", "1000");
    const answer = await post(url + path, `${" ".repeat(1000)}{}`);
    expectError(path, answer, 413, "payload_too_large");
    expect(answer.body.message ?? answer.body.error.message).toBe("the body must have at most 1000 bytes");
    const body = JSON.stringify(SHORT);
    expect((await post(`${url}/v1/generate`, body.padEnd(1000))).status).toBe(200);
    expect((await post(`${url}/v1/generate`, body.padEnd(1001))).status).toBe(413);
  });

  it("is read in chunks up to the limit", async () => {
    const { url } = await serverWith("--max-body-bytes", "1000");
    const sent = request(`${url}/v1/generate`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
    });
    const body = JSON.stringify(SHORT).padEnd(1000);
    for (let i = 0; i < body.length; i += 100) sent.write(body.slice(i, i + 100));
    sent.end();
    const [response] = await once(sent, "response");
    expect(response.statusCode).toBe(200);
    response.resume();
  });

  it("gets 413 even if its client reads nothing before sending everything", async () => {
    const { port } = await serverWith("--max-body-bytes", "1000");
    const socket = connect(port, "127.0.0.1").pause();
    await once(socket, "connect");
    const chunk = `10000\r\n${" ".repeat(0x10000)}\r\n`;
    socket.write(head("/v1/generate", "Transfer-Encoding: chunked"));
    await new Promise((resolve) => socket.write(`${chunk.repeat(128)}0\r\n\r\n`, resolve));
    socket.resume();
    const [answer] = await once(socket, "data");
    socket.destroy();
    expect(String(answer)).toMatch(/^HTTP\/1\.1 413 /);
  });

  it("leaves its connection usable for the next request if the body arrives completely", async () => {
    const { port } = await serverWith("--max-body-bytes", "1000");
    const sent = head("/v1/generate", "Content-Length: 300000") + " ".repeat(100_000);
    const next = `GET /v1/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`;
    const socket = connect(port, "127.0.0.1").setEncoding("utf8");
    let answers = "";
    socket.on("data", (text: string) => {
      answers += text;
    });
    socket.write(sent);
    await new Promise((resolve) => setTimeout(resolve, 100));
    socket.write(" ".repeat(200_000));
    await vi.waitUntil(() => answers.includes("payload_too_large"));
    expect(answers).not.toMatch(/^connection: close\r$/im);
    socket.write(next);
    await once(socket, "close");
    expect(answers.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 413", "HTTP/1.1 200"]);
  });

  it("does not make the server wait if it never ends", async () => {
    const { port } = await serverWith("--max-body-bytes", "1000");
    const chunk = `400\r\n${" ".repeat(0x400)}\r\n`;
    const answer = await raw(head("/v1/generate", "Transfer-Encoding: chunked") + chunk, undefined, port);
    expect(answer).toMatch(/^HTTP\/1\.1 413 /); // and the connection is closed
  });

  it("does not include the longest prompts in their longest JSON escapes", async () => {
    const escaped = "\\ud83d\\ude42".repeat(8192);
    const { status, body } = await post(
      `${server.url}/v1/completions`,
      `{"model": ${JSON.stringify(model.name)}, "prompt": [${Array(16).fill(`"${escaped}"`)}], "max_tokens": -1}`,
    );
    expect(status).toBe(400);
    expect(body.error.param).toBe("max_tokens");
  });
});

describe("a path", () => {
  it.each(["/v1/nothing", "/v1", "/v1/generate/", "/generate", "/v1/%E0%A4%A", "/../etc/passwd"])(
    "that does not exist gets 404: %s",
    async (path) => {
      const answer = await raw(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
      expect(answer).toMatch(/^HTTP\/1\.1 404 /);
      const openAi = ["/v1/nothing", "/v1", "/v1/%E0%A4%A"].includes(path);
      expect(answer).toContain(openAi ? '"code":"not_found"' : '"error":"not_found"');
    },
  );

  it.each(["/v1/embeddings", "/v1/audio/speech"])(
    "that OpenAI has answers in its shape: %s",
    async (path) => {
      const { status, body } = await post(server.url + path, { model: model.name });
      expect({ status, body }).toEqual({
        status: 404,
        body: {
          error: {
            message: `there is no ${path}`,
            type: "invalid_request_error",
            param: null,
            code: "not_found",
          },
        },
      });
    },
  );

  it("of vLLM: health, tokens of a text, text of tokens", async () => {
    expect(await get(`${server.url}/health`)).toMatchObject({ status: 200, body: { status: "ready" } });
    const tokens = await post(`${server.url}/tokenize`, { prompt: "Grüße", return_token_strs: 1 });
    const bytes = [...Buffer.from("Grüße")];
    expect(tokens.body).toEqual({
      count: bytes.length,
      max_model_len: null,
      tokens: bytes,
      token_strs: bytes.map((byte) =>
        byte < 128 ? String.fromCharCode(byte) : `bytes:\\x${byte.toString(16)}`,
      ),
    });
    const special = model.tokenizer!.eosId!;
    const text = await post(`${server.url}/detokenize`, { tokens: [...bytes, special, 65] });
    expect(text.body).toEqual({ prompt: `Grüße${model.tokenizer!.token(special)}A` });
    const other = await post(`${server.url}/tokenize`, { model: "other", prompt: "a" });
    expect([other.status, other.body.error.code]).toEqual([404, "model_not_found"]);
  });

  it("names the unknown model", async () => {
    const answer = await get(`${server.url}/v1/models/some/other`);
    expectError("/v1/models", answer, 404, "model_not_found");
    expect(answer.body.error.message).toBe('the model "some/other" does not exist');
    expect((await get(`${server.url}/v1/models/${model.name}`)).body.id).toBe(model.name);
  });

  it.each(POSTS)("allows only POST: %s", async (path) => {
    for (const method of ["GET", "PUT", "DELETE", "PATCH"]) {
      const response = await fetch(server.url + path, { method });
      const answer = { status: 405, headers: response.headers, body: await response.json() };
      expect(response.status).toBe(405);
      expect(response.headers.get("Allow")).toBe("POST");
      expectError(path, answer, 405, "method_not_allowed");
    }
    const head = await fetch(server.url + path, { method: "HEAD" });
    expect([head.status, head.headers.get("Allow")]).toEqual([405, "POST"]);
  });

  it.each(GETS.filter((path) => path !== "/openapi.json"))("allows only GET and HEAD: %s", async (path) => {
    for (const method of ["POST", "PUT", "DELETE", "PATCH"]) {
      const response = await fetch(server.url + path, { method });
      expect([response.status, response.headers.get("Allow")]).toEqual([405, "GET, HEAD"]);
      expectError(
        path,
        { status: 405, headers: response.headers, body: await response.json() },
        405,
        "method_not_allowed",
      );
    }
  });

  it.each(GETS)("answers HEAD as GET, without the body: %s", async (path) => {
    const [head, whole] = await Promise.all([
      fetch(server.url + path, { method: "HEAD" }),
      fetch(server.url + path),
    ]);
    expect([head.status, whole.status]).toEqual([200, 200]);
    expect(head.headers.get("Content-Type")).toBe(whole.headers.get("Content-Type"));
    expect(await head.text()).toBe("");
    expect(await whole.text()).not.toBe("");
  });
});

describe("invalid HTTP", () => {
  it.each([
    ["garbage", "\u0000\u0001garbage\r\n\r\n", /^HTTP\/1\.1 400 /],
    ["no version", "GET /\r\n\r\n", /^HTTP\/1\.1 400 /],
    ["no Host", "GET /livez HTTP/1.1\r\n\r\n", /^HTTP\/1\.1 400 /],
    [
      "an invalid Host",
      "GET /livez HTTP/1.1\r\nHost: a b/c\r\nConnection: close\r\n\r\n",
      /^HTTP\/1\.1 400 /,
    ],
    [
      "a header without a colon",
      "GET /livez HTTP/1.1\r\nHost: localhost\r\nwrong\r\n\r\n",
      /^HTTP\/1\.1 400 /,
    ],
    [
      "headers without end",
      `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${"a".repeat(20_000)}`,
      /^HTTP\/1\.1 431 /,
    ],
    [
      "two lengths",
      "POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
      /^HTTP\/1\.1 400 /,
    ],
    [
      "a length and chunks",
      "POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
      /^HTTP\/1\.1 400 /,
    ],
    [
      "a chunk without a size",
      "POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
      /^HTTP\/1\.1 400 /,
    ],
    ["TLS", "\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001", /^HTTP\/1\.1 400 /],
  ])("is refused and does no harm: %s", async (_, text, expected) => {
    const { port, url, log } = await serverWith();
    expect(await raw(text, undefined, port)).toMatch(expected);
    expect((await get(`${url}/livez`)).status).toBe(200);
    expect(log.filter((line) => line.includes("ERROR"))).toEqual([]);
  });

  it("does no harm if a client disconnects within its body", async () => {
    const { port, url, log } = await serverWith();
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    socket.write(
      "POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    );
    await new Promise((resolve) => setTimeout(resolve, 20));
    socket.destroy();
    await until(() => log.some((line) => line.includes("/v1/generate - Status: 499")), "logged as left");
    expect(log.join("")).not.toContain("ERROR");
    expect((await post(`${url}/v1/generate`, SHORT)).status).toBe(200);
  });
});

describe("a page of another origin", () => {
  const preflight = (url: string, origin: string): Promise<Response> =>
    fetch(url, {
      method: "OPTIONS",
      headers: {
        Origin: origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type, authorization",
      },
    });

  it("may call from anywhere by default", async () => {
    const asked = await preflight(`${server.url}/v1/generate`, "https://a.example");
    expect(asked.status).toBe(204);
    expect(asked.headers.get("Access-Control-Allow-Origin")).toBe("*");
    expect(asked.headers.get("Access-Control-Allow-Methods")).toContain("POST");
    expect(asked.headers.get("Access-Control-Allow-Headers")).toMatch(/content-type,\s*authorization/);
    const answer = await post(`${server.url}/v1/generate`, SHORT, { Origin: "https://a.example" });
    expect(answer.headers.get("Access-Control-Allow-Origin")).toBe("*");
    expect(answer.headers.get("Access-Control-Expose-Headers")).toContain("X-Request-Id");
  });

  it("may call only from the given origins", async () => {
    const { url } = await serverWith("--cors-origins", "https://a.example,https://b.example");
    for (const origin of ["https://a.example", "https://b.example"]) {
      const asked = await preflight(`${url}/v1/generate`, origin);
      expect(asked.headers.get("Access-Control-Allow-Origin")).toBe(origin);
      const answer = await post(`${url}/v1/generate`, SHORT, { Origin: origin });
      expect(answer.headers.get("Access-Control-Allow-Origin")).toBe(origin);
      expect(answer.headers.get("Vary")).toContain("Origin");
    }
    for (const origin of ["https://c.example", "http://a.example", "https://a.example.evil", "null"]) {
      const asked = await preflight(`${url}/v1/generate`, origin);
      expect(asked.headers.get("Access-Control-Allow-Origin")).toBeNull();
      const answer = await post(`${url}/v1/generate`, SHORT, { Origin: origin });
      expect(answer.headers.get("Access-Control-Allow-Origin")).toBeNull();
    }
  });

  it("may read errors, and sends preflight requests without a key", async () => {
    const { url } = await serverWith("--api-keys", "a", "--cors-origins", "https://a.example");
    const asked = await preflight(`${url}/v1/generate`, "https://a.example");
    expect([asked.status, asked.headers.get("Access-Control-Allow-Origin")]).toEqual([
      204,
      "https://a.example",
    ]);
    const answer = await post(`${url}/v1/generate`, SHORT, { Origin: "https://a.example" });
    expect([answer.status, answer.headers.get("Access-Control-Allow-Origin")]).toEqual([
      401,
      "https://a.example",
    ]);
    const nowhere = await get(`${url}/nowhere`, { Origin: "https://a.example" });
    expect([nowhere.status, nowhere.headers.get("Access-Control-Allow-Origin")]).toEqual([
      404,
      "https://a.example",
    ]);
  });
});

describe("keys", () => {
  const bearer = (key: string) => ({ Authorization: `Bearer ${key}` });

  it("are required by endpoints that compute or reveal something", async () => {
    const { url } = await serverWith("--api-keys", "alpha, beta");
    const wrong = [{}, bearer("gamma"), bearer(""), bearer("alph"), { Authorization: "Basic alpha" }];
    for (const headers of wrong) {
      for (const path of POSTS) {
        const answer = await post(url + path, SHORT, headers);
        expectError(path, answer, 401, path === "/v1/completions" ? "invalid_api_key" : "unauthorized");
        expect(answer.headers.get("WWW-Authenticate")).toBe("Bearer");
        expect(JSON.stringify(answer.body)).toContain('"message":"Invalid API key"');
      }
      for (const path of ["/v1/model/info", "/v1/models", `/v1/models/${model.name}`]) {
        expect((await get(url + path, headers)).status).toBe(401);
      }
    }
  });

  it("let in every client that has one of them", async () => {
    const { url } = await serverWith("--api-keys", "alpha, beta");
    for (const authorization of ["Bearer alpha", "Bearer beta", "bearer alpha", "BEARER  beta"]) {
      const headers = { Authorization: authorization };
      expect((await post(`${url}/v1/generate`, SHORT, headers)).status).toBe(200);
      const completion = { model: model.name, ...SHORT };
      expect((await post(`${url}/v1/completions`, completion, headers)).status).toBe(200);
      expect((await get(`${url}/v1/model/info`, headers)).status).toBe(200);
    }
  });

  it("are not required by health endpoints", async () => {
    const { url } = await serverWith("--api-keys", "alpha");
    for (const path of [
      "/",
      "/v1/health",
      "/livez",
      "/readyz",
      "/metrics",
      "/openapi.json",
      "/docs",
      "/redoc",
    ]) {
      expect([path, (await fetch(url + path)).status]).toEqual([path, 200]);
    }
  });

  it("are checked before the body is read", async () => {
    const { url } = await serverWith("--api-keys", "alpha", "--max-body-bytes", "10");
    expect((await post(`${url}/v1/generate`, "x".repeat(100))).status).toBe(401);
    expect((await post(`${url}/v1/generate`, "x".repeat(100), bearer("alpha"))).status).toBe(413);
  });
});

describe("a rate limit", () => {
  const LIMIT = ["--rate-limit", "2", "--rate-limit-burst", "1"];

  // Time stands still, so that it does not matter how long the requests take.
  const stopTheClock = () => vi.useFakeTimers({ toFake: ["Date", "setTimeout", "clearTimeout"] });

  /** Sends `count` requests one after another; returns their statuses. */
  async function statuses(count: number, url: string, headers: Record<string, string> = {}) {
    const found: number[] = [];
    for (let i = 0; i < count; i++) found.push((await get(`${url}/v1/model/info`, headers)).status);
    return found;
  }

  it("refuses requests beyond rate and burst, and says when to retry", async () => {
    const { url } = await serverWith(...LIMIT);
    stopTheClock();
    expect(await statuses(4, url)).toEqual([200, 200, 200, 429]);
    for (const path of POSTS) {
      const answer = await post(url + path, SHORT);
      expectError(path, answer, 429, "rate_limit_exceeded");
      expect(answer.headers.get("Retry-After")).toBe("1");
      expect(answer.body.message ?? answer.body.error.message).toBe("more than 2 requests a second");
      if (path === "/v1/completions") expect(answer.body.error.type).toBe("rate_limit_exceeded");
    }
    await vi.advanceTimersByTimeAsync(1001);
    expect(await statuses(4, url)).toEqual([200, 200, 200, 429]);
  });

  it("does not count requests for health", async () => {
    const { url } = await serverWith(...LIMIT);
    stopTheClock();
    for (const path of ["/v1/health", "/livez", "/readyz", "/metrics"]) {
      for (let i = 0; i < 4; i++) expect((await fetch(url + path)).status).toBe(200);
    }
  });

  it("counts each key's requests, whoever sends them", async () => {
    const { url } = await serverWith(...LIMIT, "--api-keys", "alpha,beta");
    stopTheClock();
    const [alpha, beta] = [{ Authorization: "Bearer alpha" }, { Authorization: "Bearer beta" }];
    expect(await statuses(4, url, alpha)).toEqual([200, 200, 200, 429]);
    expect(await statuses(1, url, { ...alpha, "X-Forwarded-For": "10.0.0.9" })).toEqual([429]);
    expect(await statuses(4, url, beta)).toEqual([200, 200, 200, 429]);
    expect(await statuses(1, url)).toEqual([401]);
  });

  it("counts a key once, however it is written", async () => {
    const { url } = await serverWith(...LIMIT, "--api-keys", "alpha");
    stopTheClock();
    const written = ["Bearer alpha", "bearer alpha", "BEARER  alpha", "Bearer   alpha"];
    const found: number[] = [];
    for (const Authorization of written) found.push(...(await statuses(1, url, { Authorization })));
    expect(found).toEqual([200, 200, 200, 429]);
  });

  it("takes the client's address from a trusted proxy, not from the client", async () => {
    const { url } = await serverWith(...LIMIT, "--trust-proxy", "1");
    stopTheClock();
    const from = (addresses: string) => ({ "X-Forwarded-For": addresses });
    expect(await statuses(4, url, from("10.0.0.1"))).toEqual([200, 200, 200, 429]);
    expect(await statuses(1, url, from("10.0.0.7, 10.0.0.1"))).toEqual([429]);
    expect(await statuses(4, url, from("10.0.0.1, 10.0.0.2"))).toEqual([200, 200, 200, 429]);
    expect(await statuses(4, url)).toEqual([200, 200, 200, 429]);
  });

  it("ignores X-Forwarded-For if no proxy is trusted", async () => {
    const { url } = await serverWith(...LIMIT);
    stopTheClock();
    expect(await statuses(3, url, { "X-Forwarded-For": "10.0.0.1" })).toEqual([200, 200, 200]);
    expect(await statuses(1, url, { "X-Forwarded-For": "10.0.0.2" })).toEqual([429]);
  });
});

describe("while the model is loading", () => {
  it("the server is alive but not ready, and accepts requests once the model is loaded", async () => {
    const loading = await startServer(undefined);
    others.push(loading);
    const { url, service } = loading;
    const probe = async (path: string) => {
      const { status, body } = await get(url + path);
      return { code: status, ...v.parse(probeResponse, body) };
    };
    expect(await probe("/livez")).toEqual({ code: 200, status: "alive", detail: null });
    expect(await probe("/readyz")).toEqual({ code: 503, status: "not ready", detail: "loading" });
    const health = await get(`${url}/v1/health`);
    expect(health.status).toBe(200);
    expect(health.body).toMatchObject({ status: "loading", model_loaded: false });
    const bodies = {
      "/v1/generate": SHORT,
      "/v1/retrieve": { context: "a b c", needle: "b" },
      "/v1/completions": { model: "any", ...SHORT },
    };
    for (const [path, body] of Object.entries(bodies)) {
      const answer = await post(url + path, body);
      expectError(path, answer, 503, "resource_error");
      expect(answer.headers.get("Retry-After")).toBe("5");
    }
    for (const path of ["/v1/model/info", "/v1/models"]) {
      const answer = await get(url + path);
      expectError(path, answer, 503, "resource_error");
      expect(answer.headers.get("Retry-After")).toBe("5");
    }
    expect((await post(`${url}/v1/generate`, { prompt: 5 })).status).toBe(400);
    expect((await get(`${url}/openapi.json`)).status).toBe(200);

    service.serve(model);
    expect(await probe("/readyz")).toEqual({ code: 200, status: "ready", detail: null });
    expect((await get(`${url}/v1/health`)).body).toMatchObject({ status: "healthy", model_loaded: true });
    bodies["/v1/completions"].model = model.name;
    for (const [path, body] of Object.entries(bodies)) {
      expect([path, (await post(url + path, body)).status]).toEqual([path, 200]);
    }
  });
});

describe("a request's id", () => {
  const idOf = async (given: string, path = "/v1/health"): Promise<string | null> =>
    (await fetch(server.url + path, { headers: { "X-Request-Id": given } })).headers.get("X-Request-Id");

  it.each(["abc-123_DEF=", "9f3b2c1e-7d4a-4b8e-9a51-0c2f6d3e8b17", "a".repeat(128)])(
    "is echoed if it is valid: %s",
    async (id) => {
      expect(await idOf(id)).toBe(id);
      expect(await idOf(id, "/nowhere")).toBe(id);
      expect(await idOf(id, "/v1/generate")).toBe(id);
    },
  );

  it.each(["a b", "a;b", "<script>", "ü", "a".repeat(129), ""])(
    "is generated if the client's is invalid: %j",
    async (id) => {
      const made = await idOf(id);
      expect(made).toMatch(/^[0-9a-f-]{36}$/);
      expect(await idOf(id)).not.toBe(made);
    },
  );

  it("is in the log of its request", async () => {
    const { url, log } = await serverWith("--log-format", "json");
    await post(`${url}/v1/generate`, { prompt: 5 }, { "X-Request-Id": "mine" });
    const line = () => log.map((entry) => JSON.parse(entry)).find(({ path }) => path === "/v1/generate");
    await until(() => line() !== undefined, "logged");
    expect(line()).toMatchObject({
      request_id: "mine",
      method: "POST",
      status: 400,
      time: expect.any(String),
    });
  });
});
