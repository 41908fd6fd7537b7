import { once } from "node:events";
import { createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { fetchFromHub } from "./fetch.ts";
import { proxiesOf, proxyFor, shownProxy } from "./proxy.ts";
import { bench, failure } from "./testing/bench.ts";

const REPO = "me/model";
/** A name that no name server knows, so that only the proxy can lead there. */
const FAR = "http://hub.example.test";

describe("the proxy of an address", () => {
  const env = { HTTP_PROXY: "http://plain:1", HTTPS_PROXY: "user:secret@secure:2" };
  const found = (address: string, more: Record<string, string> = {}) => {
    const proxy = proxyFor(proxiesOf({ ...env, ...more }), new URL(address));
    return proxy && shownProxy(proxy);
  };

  it("is the one of its scheme, shown without its password", () => {
    expect(found("http://a.example/x")).toBe("http://plain:1 (HTTP_PROXY)");
    expect(found("https://a.example/x")).toBe("http://secure:2 (HTTPS_PROXY)");
  });

  it("is that of the variable in lower case, which may be empty", () => {
    expect(found("http://a.example", { http_proxy: "https://lower" })).toBe("https://lower (http_proxy)");
    expect(found("http://a.example", { http_proxy: "" })).toBeUndefined();
  });

  it.each([
    ["*", true],
    ["a.example", true],
    ["b.example, a.example", true],
    ["b.example a.example:80", true],
    [".example", true],
    ["*.example", true],
    ["EXAMPLE", true],
    ["a.example:81", false],
    ["ample", false],
    ["x.a.example", false],
    ["", false],
  ])("is none where NO_PROXY is %j: %s", (NO_PROXY, none) => {
    expect(found("http://a.example", { NO_PROXY }) === undefined).toBe(none);
  });

  it("is none for an IPv6 address that NO_PROXY names", () => {
    for (const NO_PROXY of ["::1", "[::1]", "[::1]:9"]) {
      expect(found("http://[::1]:9/", { NO_PROXY })).toBeUndefined();
    }
    expect(found("http://[::1]:8/", { NO_PROXY: "[::1]:9" })).toBeDefined();
  });

  it.each(["socks5://host:1", "http://", "ftp://secret@host", "http://se cret"])(
    "is refused without being printed if it is no HTTP proxy: %s",
    (HTTP_PROXY) => {
      expect(() => proxiesOf({ HTTP_PROXY })).toThrow(
        /^HTTP_PROXY: this is not the address of an HTTP proxy/,
      );
      expect(() => proxiesOf({ HTTP_PROXY })).not.toThrow(/cret/);
    },
  );
});

describe("a hub behind a proxy", () => {
  const test = bench();
  const asked: string[] = [];
  let proxy: Server;

  beforeAll(async () => {
    proxy = createServer((incoming, outgoing) => {
      const { method = "", url = "", headers } = incoming;
      asked.push(`${method} ${url} ${headers["proxy-authorization"] ?? "-"} ${headers.authorization ?? "-"}`);
      const { "proxy-authorization": _, ...passed } = headers;
      const far = request(test.hub.url + url.slice(FAR.length), { method, headers: passed }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      });
      incoming.pipe(far);
    });
    proxy.on("connect", ({ url, headers }, socket) => {
      asked.push(`CONNECT ${url} ${headers["proxy-authorization"] ?? "-"}`);
      socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
    });
    proxy.listen(0, "127.0.0.1");
    await once(proxy, "listening");
  });
  afterAll(() => proxy.close());
  afterEach(() => {
    asked.length = 0;
  });

  const options = (env: Record<string, string>) => ({
    ...test.options,
    repo: REPO,
    files: ["config.json"],
    env: { ...test.env, HF_ENDPOINT: FAR, ...env },
  });
  const address = (user = "") => `http://${user}127.0.0.1:${(proxy.address() as AddressInfo).port}`;

  it("is asked through it, also for what is fetched, with the hub's token for the hub alone", async () => {
    test.hub.commit(REPO, { "config.json": "{}" });
    const env = { HTTP_PROXY: address("me:secret@"), HF_TOKEN: "token" };
    await fetchFromHub(options(env));
    const basic = `Basic ${Buffer.from("me:secret").toString("base64")}`;
    const at = `${FAR}/${REPO}/resolve`;
    expect(asked[0]).toBe(`HEAD ${at}/main/config.json ${basic} Bearer token`);
    expect(asked[1]).toMatch(new RegExp(`^GET ${at}/[0-9a-f]{40}/config\\.json ${basic} Bearer token$`));
    expect(asked).toHaveLength(2);
  });

  it("is asked directly where NO_PROXY names it", async () => {
    test.hub.commit(REPO, { "config.json": "{}" });
    const env = { HF_ENDPOINT: test.hub.url, HTTP_PROXY: address(), NO_PROXY: "127.0.0.1" };
    await fetchFromHub(options(env));
    expect(asked).toEqual([]);
    expect(test.hub.asked()).toHaveLength(2);
  });

  it("by TLS is asked through a tunnel, and an error names the proxy without its password", async () => {
    const env = { HF_ENDPOINT: "https://hub.example.test", https_proxy: address("me:secret@") };
    const { message } = await failure(fetchFromHub(options(env)));
    expect(asked[0]).toMatch(/^CONNECT hub\.example\.test:443 Basic /);
    expect(message).toContain(`from https://hub.example.test through the proxy ${address()} (https_proxy)`);
    expect(message).toContain("Proxy response (403)");
    expect(message).toContain("Check https_proxy and NO_PROXY");
    expect(message).not.toContain("secret");
  });

  it("that cannot be reached is named as well", async () => {
    const { message } = await failure(fetchFromHub(options({ HTTP_PROXY: "http://127.0.0.1:1" })));
    expect(message).toMatch(/through the proxy http:\/\/127\.0\.0\.1:1 \(HTTP_PROXY\).*ECONNREFUSED/);
  });

  it("that no name server knows is not reached without a proxy, and the error says which variable is for one", async () => {
    const { message } = await failure(fetchFromHub(options({})));
    expect(message).toMatch(
      /could not be fetched from http:\/\/hub\.example\.test \(tried 3 times: .*set HTTPS_PROXY/,
    );
  });
});
