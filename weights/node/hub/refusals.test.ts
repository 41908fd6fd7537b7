import { readdir, readFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type HubRequest, type Intercept, sendBytes } from "../../../test/hub.ts";
import { fetchFromHub } from "./fetch.ts";
import { bench, failure } from "./testing/bench.ts";

const b = bench();
const BYTES = Buffer.alloc(200_000, "these are weights ");
const NAME = "model.safetensors";
/** A range that starts at any byte: if a connection breaks, the last bytes that were sent may be lost. */
const PART = /^bytes=[1-9]\d*-$/;

/** Adds a repository with one large file; `serve` answers for its content in place of the other origin. */
function withContent(repo: string, serve: (request: HubRequest, response: ServerResponse) => void): void {
  b.hub.commit(repo, { [NAME]: BYTES }, { lfs: [NAME] });
  b.hub.intercept = (request, response) => {
    if (request.at !== "cdn") return false;
    serve(request, response);
    return true;
  };
}

const fetched = (repo: string, files: readonly string[] = [NAME]) =>
  fetchFromHub({ ...b.options, repo, files });

/** All files in the cache. */
const kept = async (): Promise<string[]> =>
  (await readdir(join(b.env.HF_HOME ?? "", "hub"), { recursive: true, withFileTypes: true }).catch(() => []))
    .filter((entry) => !entry.isDirectory())
    .map(({ name }) => name);

const cdnRanges = (): (string | undefined)[] =>
  b.hub.requests.filter(({ at }) => at === "cdn").map(({ range }) => range);

describe("names", () => {
  it.each([
    "",
    "/",
    "a/",
    "/b",
    "a//b",
    "a/b/c",
    "../b",
    "a/..",
    "a/.",
    "a\\b",
    "/etc/passwd",
    "a/b c",
    "a/b%2e",
    "a--b/c",
    "a/b..c",
    "a/b.git",
    "-a/b",
    "a/.b",
    "a/b\n",
    "a/ü",
    "datasets/a",
    "C:/b",
    `a/${"x".repeat(97)}`,
  ])("refuses %j as a repository", async (repo) => {
    const error = await failure(fetchFromHub({ ...b.options, repo, files: ["config.json"] }));
    expect(error.code).toBe("invalid_argument");
    expect(b.hub.requests).toEqual([]);
  });

  it.each([
    "",
    "..",
    "../x",
    "a/../../x",
    "/etc/passwd",
    "a//b",
    "a/",
    "./a",
    "a\\..\\b",
    "C:\\x",
    "C:x",
    "a\0b",
    "a\nb",
    "a?b",
    "a#b",
    "a%2f..",
    "nul",
    "CON.json",
    "x.",
    "a/b/..",
    "a:b",
    "~",
    "*",
  ])("refuses %j as a file and as a revision", async (name) => {
    b.hub.commit("me/names", { "config.json": "{}" });
    for (const more of [{ files: [name] }, { files: ["config.json"], revision: name }]) {
      const error = await failure(fetchFromHub({ ...b.options, repo: "me/names", ...more }));
      expect(error.code).toBe("invalid_argument");
    }
    expect(b.hub.requests).toEqual([]);
    expect(await kept()).toEqual([]);
  });

  it.each([
    ["HF_ENDPOINT", "no address"],
    ["HF_ENDPOINT", "file:///etc"],
    ["HF_ENDPOINT", "http://a:b@c"],
    ["HF_TOKEN", "hf\nX-Evil: 1"],
    ["HF_TOKEN", "hf_ü"],
  ])("refuses %s=%j, and does not show a token", async (name, value) => {
    const env = { ...b.env, [name]: value };
    const error = await failure(fetchFromHub({ ...b.options, env, repo: "me/x", files: [NAME] }));
    expect(error).toMatchObject({ code: "invalid_argument", where: name });
    expect(error.message).not.toContain("X-Evil");
  });
});

describe("what is not there, or not to be read", () => {
  it("tells a repository, a revision and a file that are missing apart", async () => {
    b.hub.commit("me/there", { "config.json": "{}" });
    const repo = await failure(fetched("me/nowhere"));
    expect(repo).toMatchObject({ code: "invalid_argument", where: "me/nowhere" });
    expect(repo.message).toContain("no such repository");
    const options = { ...b.options, repo: "me/there", files: ["config.json"] };
    const revision = await failure(fetchFromHub({ ...options, revision: "v9" }));
    expect(revision).toMatchObject({ code: "invalid_argument", where: "me/there" });
    expect(revision.message).toContain("no branch, tag or commit v9");
    const file = await failure(fetched("me/there"));
    expect(file).toMatchObject({ code: "invalid_file", where: `me/there@main/${NAME}` });
    expect(file.message).toContain("no such file");
  });

  it.each([
    [undefined, 401],
    ["hf_other", 403],
  ])("asks for the licence and a token (token %s: %i)", async (token, status) => {
    b.hub.commit("me/gated", { "config.json": "{}" });
    b.hub.gate("me/gated", "hf_right");
    const env = { ...b.env, ...(token ? { HF_TOKEN: token } : {}) };
    const error = await failure(
      fetchFromHub({ ...b.options, env, repo: "me/gated", files: ["config.json"] }),
    );
    expect(error).toMatchObject({ code: "invalid_argument", where: "me/gated" });
    expect(error.message).toContain(`(${status}: GatedRepo)`);
    expect(error.fix).toContain(`accept the licence at ${b.hub.url}/me/gated`);
    expect(error.fix).toContain("HF_TOKEN");
    expect(error.message).not.toContain("hf_other");
  });
});

describe("a body that is not the file", () => {
  it("is refused when it is always cut short, and its part is kept", async () => {
    withContent("me/cut", (_, response) => {
      response.writeHead(200, { "Content-Length": BYTES.length });
      response.write(BYTES.subarray(0, 70_000), () => response.destroy());
    });
    const error = await failure(fetched("me/cut"));
    expect(error.code).toBe("invalid_file");
    expect(error.message).toContain("tried 3 times");
    expect(await kept()).toEqual([expect.stringMatching(/\.free-\w+\.incomplete$/)]);
  });

  it("is fetched on from where it was cut", async () => {
    withContent("me/cuts", (request, response) => {
      const start = Number(/=(\d+)-/.exec(request.range ?? "")?.[1] ?? 0);
      response.writeHead(start ? 206 : 200, {
        "Content-Length": BYTES.length - start,
        ...(start ? { "Content-Range": `bytes ${start}-${BYTES.length - 1}/${BYTES.length}` } : {}),
      });
      const end = Math.min(start + 30_000, BYTES.length);
      response.write(BYTES.subarray(start, end), () =>
        end < BYTES.length ? response.destroy() : response.end(),
      );
    });
    const folder = await fetched("me/cuts");
    expect(BYTES.equals(await readFile(join(folder, NAME)))).toBe(true);
    expect(cdnRanges().length).toBeGreaterThan(5);
    expect(cdnRanges()[1]).toMatch(PART);
  });

  it("is refused when a shorter one ends in good order", async () => {
    withContent("me/short", (_, response) => response.writeHead(200).end(BYTES.subarray(0, 5_000)));
    const error = await failure(fetched("me/short"));
    expect(error.message).toContain(`the body ended at byte 5000 of ${BYTES.length}`);
  });

  it.each(["promised", "unannounced"])("is refused when it is longer, %s", async (how) => {
    withContent("me/long", (_, response) => {
      response.writeHead(200, how === "promised" ? { "Content-Length": BYTES.length + 1 } : {});
      response.end(Buffer.concat([BYTES, Buffer.from("!")]));
    });
    const error = await failure(fetched("me/long"));
    expect(error.code).toBe("invalid_file");
    expect(error.message).toContain(`longer than the ${BYTES.length} bytes`);
    expect(await kept()).toEqual([]);
    expect(cdnRanges()).toHaveLength(1);
  });

  it("is refused when its SHA-256 is another, or git's SHA-1", async () => {
    const wrong = Buffer.from(BYTES);
    wrong[100_000] = 0;
    withContent("me/wrong", (request, response) => sendBytes(request, response, wrong));
    b.hub.commit("me/wrong2", { [NAME]: BYTES });
    const swap = b.hub.intercept as Intercept;
    b.hub.intercept = (request, response) => {
      if (request.method !== "GET" || !request.url.startsWith("/me/wrong2")) return swap(request, response);
      sendBytes(request, response, wrong);
      return true;
    };
    for (const repo of ["me/wrong", "me/wrong2"]) {
      const error = await failure(fetched(repo));
      expect(error.code).toBe("invalid_file");
      expect(error.message).toContain("the hash of its content is not the one");
    }
    expect(await kept()).toEqual([]);
  });

  it("is fetched anew from its start when what was kept of it was wrong", async () => {
    withContent("me/mended", (_, response) => {
      response.writeHead(200, { "Content-Length": BYTES.length });
      response.write(Buffer.alloc(70_000), () => response.destroy());
    });
    await failure(fetched("me/mended"));
    b.hub.intercept = undefined;
    b.hub.asked();
    const folder = await fetched("me/mended");
    expect(BYTES.equals(await readFile(join(folder, NAME)))).toBe(true);
    b.hub.commit("me/mended", { [NAME]: BYTES }, { lfs: [NAME] });
    expect(cdnRanges()).toEqual([expect.stringMatching(PART), undefined]);
  });

  it("is taken from its start from a server that ignores ranges", async () => {
    let cut = true;
    withContent("me/norange", (_, response) => {
      response.writeHead(200, { "Content-Length": BYTES.length });
      if (cut) response.write(BYTES.subarray(0, 70_000), () => response.destroy());
      else response.end(BYTES);
      cut = false;
    });
    const folder = await fetched("me/norange");
    expect(BYTES.equals(await readFile(join(folder, NAME)))).toBe(true);
    expect(cdnRanges()).toEqual([undefined, expect.stringMatching(PART)]);
  });

  it("is refused when it is an HTML page, at the hub and behind its redirect", async () => {
    const page = (response: ServerResponse): boolean => {
      response.writeHead(200, { "Content-Type": "text/html; charset=utf-8" }).end("<html>Log in</html>");
      return true;
    };
    withContent("me/portal", (_, response) => page(response));
    expect((await failure(fetched("me/portal"))).message).toContain("an HTML page came instead of the file");
    b.hub.intercept = (_, response) => page(response);
    const error = await failure(fetched("me/portal"));
    expect(error.code).toBe("invalid_file");
    expect(error.message).toContain("an HTML page came instead of the file");
    expect(await kept()).toEqual([]);
  });
});

describe("a server that fails", () => {
  it("is asked again after a while, at the hub and behind its redirect", async () => {
    b.hub.commit("me/flaky", { [NAME]: BYTES }, { lfs: [NAME] });
    const failing = new Map<string, number>();
    b.hub.intercept = ({ at, method }, response) => {
      const times = failing.get(at + method) ?? 0;
      failing.set(at + method, times + 1);
      if (times >= 2) return false;
      // The other origin answers 403 for an address that is no longer valid.
      response.writeHead(at === "cdn" ? 403 : times ? 429 : 503, { "Retry-After": "0" }).end();
      return true;
    };
    const folder = await fetchFromHub({
      ...b.options,
      patience: { tries: 5, waitMs: 1 },
      repo: "me/flaky",
      files: [NAME],
    });
    expect(BYTES.equals(await readFile(join(folder, NAME)))).toBe(true);
  });

  it("is given up in the end, with what it said", async () => {
    b.hub.commit("me/down", { [NAME]: BYTES });
    b.hub.intercept = (_, response) => {
      response.writeHead(502).end();
      return true;
    };
    const error = await failure(fetched("me/down"));
    expect(error.code).toBe("invalid_file");
    expect(error.message).toContain(`from ${b.hub.url} (tried 3 times: the hub answered 502)`);
    expect(b.hub.requests).toHaveLength(3);
  });

  it("is given up when it says nothing, before its answer or within", async () => {
    withContent("me/silent", (_, response) => {
      response.writeHead(200, { "Content-Length": BYTES.length });
      response.write(BYTES.subarray(0, 1000));
    });
    const patience = { tries: 2, waitMs: 1, stallMs: 100 };
    const options = { ...b.options, patience, repo: "me/silent", files: [NAME] };
    expect((await failure(fetchFromHub(options))).message).toContain("nothing came for 0.1 s");
    b.hub.intercept = () => true;
    expect((await failure(fetchFromHub(options))).message).toContain("nothing came for 0.1 s");
  });

  it("is not followed in a circle, nor from file to file without end, nor to what is no web address", async () => {
    b.hub.commit("me/circle", { [NAME]: BYTES }, { lfs: [NAME] });
    let step = 0;
    for (const target of [
      () => `${b.hub.cdn}/round`,
      () => `${b.hub.cdn}/${step++}`,
      () => "file:///etc/passwd",
      () => "javascript:alert(1)",
      () => "",
    ]) {
      b.hub.intercept = ({ at }, response) => {
        if (at === "cdn") response.writeHead(302, { Location: target() }).end();
        return at === "cdn";
      };
      expect((await failure(fetched("me/circle"))).message).toMatch(
        /redirects (?:go in a circle|to no place)/,
      );
    }
    b.hub.intercept = ({ url }, response) => {
      response.writeHead(307, { Location: url }).end();
      return true;
    };
    const error = await failure(fetched("me/circle"));
    expect(error.code).toBe("invalid_file");
    expect(error.message).toContain("redirects go in a circle");
  });

  it.each([
    ["no commit", { "X-Repo-Commit": "" }, "it names no commit"],
    ["a commit that is a path", { "X-Repo-Commit": "../../../../evil" }, "its commit is no commit"],
    ["no hash", { ETag: "" }, "it names no hash"],
    ["a hash that is a path", { ETag: '"../../evil"' }, "it names no hash"],
    ["a linked hash that is a path", { "X-Linked-Etag": '"/etc/x"' }, "it names no hash"],
    ["a size that is none", { "X-Linked-Size": "-1" }, "how long"],
  ])("is no hub if it gives %s", async (_, headers, message) => {
    b.hub.intercept = (_request, response) => {
      const sound = { "X-Repo-Commit": "b".repeat(40), ETag: `"${"a".repeat(40)}"`, "X-Linked-Size": "3" };
      response.writeHead(200, { ...sound, ...headers }).end();
      return true;
    };
    const error = await failure(fetched("me/odd"));
    expect(error.code).toBe("invalid_file");
    expect(error.message).toContain("the answer is not a hub's");
    expect(error.message).toContain(message);
    expect(await kept()).toEqual([]);
  });

  it("is no hub if it answers for another commit than was asked", async () => {
    const headers = { "X-Repo-Commit": "b".repeat(40), ETag: `"${"a".repeat(40)}"`, "X-Linked-Size": "3" };
    b.hub.intercept = (_, response) => {
      response.writeHead(200, headers).end();
      return true;
    };
    const options = { ...b.options, repo: "me/odd", revision: "c".repeat(40), files: [NAME] };
    expect((await failure(fetchFromHub(options))).message).toContain("another commit");
  });

  it("does not pass its redirect's length for the file's", async () => {
    b.hub.intercept = (_, response) => {
      const sound = { "X-Repo-Commit": "b".repeat(40), ETag: `"${"a".repeat(40)}"` };
      response.writeHead(302, { ...sound, Location: `${b.hub.cdn}/x`, "Content-Length": 3 }).end("302");
      return true;
    };
    expect((await failure(fetched("me/odd"))).message).toContain("how long the file is");
  });
});
