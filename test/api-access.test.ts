import { request } from "node:http";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import { startServer, type TestServer } from "./server.ts";

// No model is loaded: who may ask is decided before what is asked for.

const servers: TestServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

async function serve(...flags: string[]): Promise<TestServer> {
  const server = await startServer(undefined, flags);
  servers.push(server);
  return server;
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** Sends a request with any headers, `Host` and `Origin` too. */
async function ask(
  { port }: TestServer,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  { method = "GET", body = "" } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", port, path, method, headers, agent: false }, async (response) =>
      resolve({
        status: response.statusCode ?? 0,
        headers: response.headers,
        body: await text(response),
      }),
    );
    sent.once("error", reject);
    sent.end(body);
  });
}

const JSON_TYPE = { "Content-Type": "application/json" };
const statuses = (answers: readonly Answer[]): number[] => answers.map(({ status }) => status);

/** What asks for sessions and states, with these headers. */
const personal = (server: TestServer, headers: Readonly<Record<string, string>>): Promise<Answer[]> => {
  const generate = (fields: object) =>
    ask(
      server,
      "/v1/generate",
      { ...JSON_TYPE, ...headers },
      {
        method: "POST",
        body: JSON.stringify({ prompt: "a", ...fields }),
      },
    );
  const file = { "Content-Type": "application/octet-stream" };
  return Promise.all([
    ask(server, "/v1/sessions", headers),
    ask(server, "/v1/sessions/a", headers),
    ask(server, "/v1/sessions/a", headers, { method: "DELETE" }),
    ask(server, "/v1/sessions/a/export", headers),
    ask(server, "/v1/sessions/a/import", { ...headers, ...file }, { method: "POST", body: "x" }),
    ask(server, "/v1/sessions/a/fork", { ...headers, ...JSON_TYPE }, { method: "POST", body: '{"to":"b"}' }),
    generate({ session: "a" }),
    generate({ return_state: true }),
    generate({ state: "abc" }),
  ]);
};

const REFUSED = Array<number>(9).fill(403);
/** No model is loaded, and there are no sessions. */
const LET_IN = [200, 404, 404, 404, 503, 404, 503, 503, 503];

describe("sessions and states, without keys and named origins", () => {
  it.each<[string, Record<string, string>]>([
    ["another site", { Origin: "https://evil.example" }],
    ["another port of this machine", { Origin: "http://127.0.0.1:1" }],
    ["a file or a sandboxed frame", { Origin: "null" }],
    ["another site, in a request without CORS", { "Sec-Fetch-Site": "cross-site" }],
    ["another port, in a request without CORS", { "Sec-Fetch-Site": "same-site" }],
  ])("are refused to a page of %s", async (_, headers) => {
    const answers = await personal(await serve(), headers);
    expect(statuses(answers)).toEqual(REFUSED);
    expect(JSON.parse(answers[0]!.body)).toMatchObject({
      error: "forbidden",
      details: { field: "sessions" },
    });
    expect(JSON.parse(answers[7]!.body)).toMatchObject({ details: { field: "return_state" } });
    expect(answers[0]!.body).toMatch(/CORS_ORIGINS.*API_KEYS/);
  });

  it("are given to programs, to the server's own pages and to an address that its user typed", async () => {
    const server = await serve();
    const own = { Origin: `http://127.0.0.1:${server.port}`, "Sec-Fetch-Site": "same-origin" };
    for (const headers of [{}, own, { "Sec-Fetch-Site": "same-origin" }, { "Sec-Fetch-Site": "none" }]) {
      expect(statuses(await personal(server, headers))).toEqual(LET_IN);
    }
    const host = `localhost:${server.port}`;
    expect(statuses(await personal(server, { Host: host, Origin: `http://${host}` }))).toEqual(LET_IN);
  });

  it("are refused to a page whose name leads to this machine, and to nobody else there", async () => {
    const server = await serve("--host", "0.0.0.0");
    const rebound = { Host: `evil.example:${server.port}` };
    for (const headers of [rebound, { ...rebound, Origin: `http://evil.example:${server.port}` }]) {
      expect(statuses(await personal(server, headers))).toEqual(REFUSED);
      expect((await ask(server, "/v1/health", headers)).status).toBe(200);
    }
    expect(statuses(await personal(server, { Host: "192.168.1.7:8000" }))).toEqual(LET_IN);
  });
});

it("sessions are given to pages whose origin is named, and to no others", async () => {
  const server = await serve("--cors-origins", "https://a.example");
  expect(statuses(await personal(server, { Origin: "https://a.example" }))).toEqual(LET_IN);
  expect(statuses(await personal(server, { Origin: "https://b.example" }))).toEqual(REFUSED);
});

it("sessions are given to any page that has a key", async () => {
  const server = await serve("--api-keys", "alpha");
  const headers = { Origin: "https://any.example", Authorization: "Bearer alpha" };
  expect(statuses(await personal(server, headers))).toEqual(LET_IN);
});

describe("a server on loopback", () => {
  const at = (server: TestServer, host: string, path = "/livez") => ask(server, path, { Host: host });

  it("answers for loopback's names alone", async () => {
    const server = await serve();
    for (const host of ["localhost", "localhost:1", "127.0.0.1", "[::1]:80", "app.localhost"]) {
      expect([host, (await at(server, host)).status]).toEqual([host, 200]);
    }
    for (const path of ["/livez", "/v1/sessions", "/docs", "/demo/", "/nowhere"]) {
      const { status, body } = await at(server, "evil.example", path);
      expect([path, status]).toEqual([path, 403]);
      expect(JSON.parse(body)).toMatchObject({ error: "forbidden", details: { field: "Host" } });
    }
  });

  it("answers for the hosts that are named, behind a proxy for all, and elsewhere for all", async () => {
    const named = await serve("--allowed-hosts", "a.example, B.example:80");
    expect((await at(named, "a.example:8000")).status).toBe(200);
    expect((await at(named, "b.example")).status).toBe(200);
    expect((await at(named, "localhost")).status).toBe(200);
    expect((await at(named, "c.example")).status).toBe(403);
    expect((await at(named, "10.0.0.5")).status).toBe(403);
    for (const flags of [
      ["--trust-proxy", "1"],
      ["--host", "0.0.0.0"],
      ["--allowed-hosts", "*"],
    ]) {
      expect((await at(await serve(...flags), "any.example")).status).toBe(200);
    }
    const elsewhere = await serve("--host", "0.0.0.0", "--allowed-hosts", "a.example");
    expect((await at(elsewhere, "any.example")).status).toBe(403);
    expect((await at(elsewhere, "10.0.0.5:8000")).status).toBe(200); // a probe of a pod
  });
});

describe("wrong keys", () => {
  const with_ = (server: TestServer, key: string, from?: string) =>
    ask(server, "/v1/sessions", {
      Authorization: `Bearer ${key}`,
      ...(from ? { "X-Forwarded-For": from } : {}),
    });

  it("are refused with 429 after a few from one address, also the right one if it comes late", async () => {
    const server = await serve("--api-keys", "alpha,beta", "--key-attempts", "3", "--trust-proxy", "1");
    expect((await with_(server, "alpha", "10.0.0.1")).status).toBe(200);
    const guesses: Answer[] = [];
    for (let i = 0; i < 5; i++) guesses.push(await with_(server, `guess${i}`, "10.0.0.1"));
    expect(statuses(guesses)).toEqual([401, 401, 401, 429, 429]);
    expect(Number(guesses[4]!.headers["retry-after"])).toBeGreaterThan(0);
    expect((await with_(server, "beta", "10.0.0.1")).status).toBe(429);
    expect((await with_(server, "alpha", "10.0.0.1")).status).toBe(200); // it was right there before
    expect((await with_(server, "beta", "10.0.0.2")).status).toBe(200);
  });

  it("are not counted where there is no key, nor without a limit", async () => {
    const server = await serve("--api-keys", "alpha", "--key-attempts", "1");
    for (let i = 0; i < 3; i++) expect((await ask(server, "/v1/sessions")).status).toBe(401);
    expect((await with_(server, "alpha")).status).toBe(200);
    const open = await serve("--api-keys", "alpha", "--key-attempts", "0");
    for (let i = 0; i < 30; i++) expect((await with_(open, "wrong")).status).toBe(401);
    expect((await with_(open, "alpha")).status).toBe(200);
  });
});

describe("the metrics and the documentation", () => {
  const PAGES = ["/docs", "/redoc", "/openapi.json"];
  const basic = (password: string) => ({
    Authorization: `Basic ${Buffer.from(`any:${password}`).toString("base64")}`,
  });
  const get = async (server: TestServer, paths: readonly string[], headers: Record<string, string> = {}) =>
    statuses(await Promise.all(paths.map((path) => ask(server, path, headers))));

  it("are public by default", async () => {
    expect(await get(await serve("--api-keys", "alpha"), ["/metrics", ...PAGES])).toEqual([
      200, 200, 200, 200,
    ]);
  });

  it("ask for a key if they are set so, which a browser can present", async () => {
    const server = await serve("--api-keys", "alpha", "--metrics-access", "key", "--docs-access", "key");
    expect(await get(server, ["/metrics", ...PAGES])).toEqual([401, 401, 401, 401]);
    expect(await get(server, ["/metrics", ...PAGES], basic("beta"))).toEqual([401, 401, 401, 401]);
    const bearer = { Authorization: "Bearer alpha" };
    expect(await get(server, ["/metrics", ...PAGES], bearer)).toEqual([200, 200, 200, 200]);
    expect(await get(server, PAGES, basic("alpha"))).toEqual([200, 200, 200]);
    expect((await ask(server, "/docs")).headers["www-authenticate"]).toMatch(/Bearer, Basic realm=/);
    expect((await ask(server, "/v1/sessions", basic("alpha"))).status).toBe(401);
    const document = JSON.parse((await ask(server, "/openapi.json", bearer)).body);
    expect(document.paths["/metrics"].get.security).toEqual([{ bearer: [] }]);
  });

  it("are nowhere if they are off", async () => {
    const server = await serve("--metrics-access", "off", "--docs-access", "off");
    expect(await get(server, ["/metrics", ...PAGES])).toEqual([404, 404, 404, 404]);
    expect(JSON.parse((await ask(server, "/")).body)).toMatchObject({ docs: null, openapi: null });
  });
});
