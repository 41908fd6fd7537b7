import { chmod, lstat, mkdir, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { startHub } from "../../../test/hub.ts";
import { fetchFromHub } from "./fetch.ts";
import { bench, failure } from "./testing/bench.ts";

const b = bench();
const WEIGHTS = Buffer.alloc(300_000, "weights ");
const small = { "config.json": '{"a":1}', "model.safetensors": WEIGHTS };
const lfs = ["model.safetensors"];
const files = Object.keys(small);

const listed = async (folder: string): Promise<string[]> =>
  (await readdir(folder, { recursive: true }).catch(() => [])).sort();

describe("a download", () => {
  it("lays files out as the hub's own libraries do", async () => {
    const commit = b.hub.commit("me/layout", small, { lfs });
    const folder = await fetchFromHub({ ...b.options, repo: "me/layout", files });
    const root = join(b.env.HF_HOME ?? "", "hub", "models--me--layout");
    expect(folder).toBe(join(root, "snapshots", commit));
    expect(await readFile(join(folder, "config.json"), "utf8")).toBe('{"a":1}');
    expect(WEIGHTS.equals(await readFile(join(folder, "model.safetensors")))).toBe(true);
    expect(await readFile(join(root, "refs", "main"), "utf8")).toBe(commit);
    const link = await readlink(join(folder, "model.safetensors"));
    expect(link).toMatch(/^\.\.\/\.\.\/blobs\/[0-9a-f]{64}$/);
    expect(await readlink(join(folder, "config.json"))).toMatch(/^\.\.\/\.\.\/blobs\/[0-9a-f]{40}$/);
    expect(await readdir(join(root, "blobs"))).toHaveLength(2);
  });

  it("finds a file in a folder, and an empty one", async () => {
    b.hub.commit("me/nested", { "a/b/c.json": "nested", empty: "" });
    const folder = await fetchFromHub({ ...b.options, repo: "me/nested", files: ["a/b/c.json", "empty"] });
    expect(await readFile(join(folder, "a/b/c.json"), "utf8")).toBe("nested");
    expect(await readFile(join(folder, "empty"), "utf8")).toBe("");
  });

  it("asks for nothing when a commit's files are there, and for one HEAD when a branch's are", async () => {
    const commit = b.hub.commit("me/twice", small, { lfs });
    const wanted = [...files, { name: "tokenizer.json", optional: true as const }];
    const first = await fetchFromHub({ ...b.options, repo: "me/twice", files: wanted });
    b.hub.asked();
    expect(await fetchFromHub({ ...b.options, repo: "me/twice", files: wanted })).toBe(first);
    expect(b.hub.asked()).toEqual(["HEAD /me/twice/resolve/main/config.json"]);
    expect(await fetchFromHub({ ...b.options, repo: "me/twice", revision: commit, files: wanted })).toBe(
      first,
    );
    expect(b.hub.asked()).toEqual([]);
  });

  it("follows a branch to its new commit, and fetches only what has changed", async () => {
    b.hub.commit("me/moves", small, { lfs });
    const old = await fetchFromHub({ ...b.options, repo: "me/moves", files });
    const commit = b.hub.commit("me/moves", { ...small, "config.json": '{"a":2}' }, { lfs });
    b.hub.asked();
    const folder = await fetchFromHub({ ...b.options, repo: "me/moves", files });
    expect(b.hub.asked().filter((line) => line.startsWith("GET"))).toEqual([
      `GET /me/moves/resolve/${commit}/config.json`,
    ]);
    expect(await readFile(join(folder, "config.json"), "utf8")).toBe('{"a":2}');
    expect(await readFile(join(old, "config.json"), "utf8")).toBe('{"a":1}');
    expect(WEIGHTS.equals(await readFile(join(folder, "model.safetensors")))).toBe(true);
  });

  it("takes a tag, and a revision with a slash in its name", async () => {
    const commit = b.hub.commit("me/tags", { "config.json": "{}" }, { branch: "refs/pr/1" });
    const options = { ...b.options, repo: "me/tags", revision: "refs/pr/1", files: ["config.json"] };
    const folder = await fetchFromHub(options);
    expect(folder.endsWith(commit)).toBe(true);
    expect(await fetchFromHub({ ...options, env: { ...b.env, HF_HUB_OFFLINE: "1" } })).toBe(folder);
  });

  it("follows a redirect within the hub, and gives the token there too", async () => {
    const commit = b.hub.commit("me/moved", { "config.json": "{}" });
    b.hub.commit("me/old-name", { "config.json": "other" });
    b.hub.intercept = ({ url }, response) => {
      if (!url.startsWith("/me/old-name/")) return false;
      // The length is that of the redirect's own body, not of the file.
      response.writeHead(307, { Location: url.replace("old-name", "moved"), "Content-Length": 40 });
      response.end(" ".repeat(40));
      return true;
    };
    const env = { ...b.env, HF_TOKEN: "hf_secret" };
    const folder = await fetchFromHub({ ...b.options, env, repo: "me/old-name", files: ["config.json"] });
    expect(folder).toContain(join("models--me--old-name", "snapshots", commit));
    expect(await readFile(join(folder, "config.json"), "utf8")).toBe("{}");
    expect(b.hub.requests.map(({ authorization }) => authorization)).toEqual(
      Array(4).fill("Bearer hf_secret"),
    );
  });

  it("tells its progress in bytes, up to all of them", async () => {
    b.hub.commit("me/progress", small, { lfs });
    const told: [string, number, number][] = [];
    const onProgress = (...args: [string, number, number]) => told.push(args);
    await fetchFromHub({ ...b.options, repo: "me/progress", files, onProgress });
    expect(told.filter(([file]) => file === "model.safetensors").at(-1)).toEqual([
      "model.safetensors",
      WEIGHTS.length,
      WEIGHTS.length,
    ]);
    const counts = told.filter(([file]) => file === "model.safetensors").map(([, done]) => done);
    expect(counts).toEqual([...counts].sort((x, y) => x - y));
  });

  it("shows nothing in a snapshot until every file is whole", async () => {
    b.hub.commit("me/whole", small, { lfs });
    let seen: string[] | undefined;
    const root = join(b.env.HF_HOME ?? "", "hub", "models--me--whole");
    b.hub.intercept = async ({ at }) => {
      if (at === "cdn") seen = await listed(root);
      return false;
    };
    await fetchFromHub({ ...b.options, repo: "me/whole", files });
    expect(seen?.filter((path) => /^(?:snapshots|refs)/.test(path))).toEqual([]);
    expect(seen?.some((path) => path.endsWith(".incomplete"))).toBe(true);
    expect((await listed(root)).filter((path) => /incomplete|link|tmp/.test(path))).toEqual([]);
  });

  it("copies where links are not wanted", async () => {
    b.hub.commit("me/copies", small, { lfs });
    const env = { ...b.env, HF_HUB_DISABLE_SYMLINKS: "1" };
    const folder = await fetchFromHub({ ...b.options, env, repo: "me/copies", files });
    const file = join(folder, "model.safetensors");
    expect((await lstat(file)).isFile()).toBe(true);
    expect(WEIGHTS.equals(await readFile(file))).toBe(true);
  });

  it("fetches again what a link has lost", async () => {
    b.hub.commit("me/dangling", small, { lfs });
    const folder = await fetchFromHub({ ...b.options, repo: "me/dangling", files });
    await rm(join(folder, await readlink(join(folder, "config.json"))));
    await fetchFromHub({ ...b.options, repo: "me/dangling", files });
    expect(await readFile(join(folder, "config.json"), "utf8")).toBe('{"a":1}');
  });

  it("stops when its signal says so, and goes on where it was", async () => {
    b.hub.commit("me/aborted", small, { lfs });
    const stop = new AbortController();
    b.hub.intercept = ({ at, method }, response) => {
      if (at !== "cdn" || method !== "GET") return false;
      response.writeHead(200, { "Content-Length": WEIGHTS.length });
      response.write(WEIGHTS.subarray(0, 100_000));
      return true;
    };
    const onProgress = (_: string, done: number) => {
      if (done === 100_000) stop.abort(new Error("enough"));
    };
    const options = { ...b.options, repo: "me/aborted", files };
    await expect(fetchFromHub({ ...options, onProgress, signal: stop.signal })).rejects.toThrow("enough");
    b.hub.intercept = undefined;
    b.hub.asked();
    await fetchFromHub(options);
    b.hub.commit("me/aborted", small, { lfs });
    const folder = await fetchFromHub(options);
    expect(WEIGHTS.equals(await readFile(join(folder, "model.safetensors")))).toBe(true);
    expect(b.hub.requests.filter(({ at }) => at === "cdn").map(({ range }) => range)).toEqual([
      "bytes=100000-",
    ]);
  });
});

describe("without a network", () => {
  const offline = () => ({ ...b.env, HF_HUB_OFFLINE: "1" });

  it("uses what is there, for a branch and for a commit, and asks for nothing", async () => {
    const commit = b.hub.commit("me/offline", small, { lfs });
    const folder = await fetchFromHub({ ...b.options, repo: "me/offline", files });
    b.hub.asked();
    for (const revision of ["main", commit])
      expect(await fetchFromHub({ env: offline(), repo: "me/offline", revision, files })).toBe(folder);
    expect(b.hub.asked()).toEqual([]);
  });

  it("names the file that is not there", async () => {
    b.hub.commit("me/part", small, { lfs });
    const asked = { env: offline(), repo: "me/part", files };
    expect(await failure(fetchFromHub(asked))).toMatchObject({
      code: "invalid_file",
      where: "me/part@main/config.json",
    });
    await fetchFromHub({ ...b.options, repo: "me/part", files: ["config.json"] });
    const error = await failure(fetchFromHub(asked));
    expect(error).toMatchObject({ code: "invalid_file", where: "me/part@main/model.safetensors" });
    expect(error.message).toContain("HF_HUB_OFFLINE");
  });

  it("falls back on what is there when the hub does not answer, and tells why", async () => {
    b.hub.commit("me/gone", small, { lfs });
    const folder = await fetchFromHub({ ...b.options, repo: "me/gone", files });
    const reasons: string[] = [];
    const onFallback = (reason: Error) => reasons.push(reason.message);
    const gone = await startHub();
    await gone.stop();
    const env = { ...b.env, HF_ENDPOINT: gone.url };
    expect(await fetchFromHub({ ...b.options, env, repo: "me/gone", files, onFallback })).toBe(folder);
    expect(reasons).toHaveLength(1);
    const more = fetchFromHub({ ...b.options, env, repo: "me/gone", files: [...files, "more.json"] });
    expect((await failure(more)).message).toContain(`could not be fetched from ${gone.url}`);
  });
});

describe("the environment", () => {
  const names = ["config.json"];
  const fetched = (env: NodeJS.ProcessEnv) =>
    fetchFromHub({ ...b.options, env: { ...env, HF_ENDPOINT: b.hub.url }, repo: "me/env", files: names });

  it("says where the cache is, as it does to Python", async () => {
    b.hub.commit("me/env", { "config.json": "{}" });
    const at = (...path: string[]) => join(b.folder, ...path);
    for (const [env, cache] of [
      [{}, at(".cache/huggingface/hub")],
      [{ XDG_CACHE_HOME: at("xdg") }, at("xdg/huggingface/hub")],
      [{ XDG_CACHE_HOME: at("xdg"), HF_HOME: at("hf") }, at("hf/hub")],
      [{ HF_HOME: at("hf"), HUGGINGFACE_HUB_CACHE: at("old") }, at("old")],
      [{ HUGGINGFACE_HUB_CACHE: at("old"), HF_HUB_CACHE: at("new") }, at("new")],
      [{ HF_HUB_CACHE: "~/tilde" }, at("tilde")],
      [{ SCRATCH: at("scratch"), HF_HOME: "$SCRATCH/hf" }, at("scratch/hf/hub")],
    ] as const)
      expect(await fetched({ HOME: b.folder, ...env })).toContain(join(cache, "models--me--env"));
  });

  it("gives the token, or the file that holds it, to the hub and to no other host", async () => {
    b.hub.commit("me/secret", small, { lfs });
    b.hub.gate("me/secret", "hf_secret");
    await mkdir(b.env.HF_HOME ?? "", { recursive: true });
    await writeFile(join(b.env.HF_HOME ?? "", "token"), "hf_secret\n");
    await fetchFromHub({ ...b.options, repo: "me/secret", files });
    const env = { ...b.env, HF_HOME: join(b.folder, "other"), HF_TOKEN: "hf_secret" };
    await fetchFromHub({ ...b.options, env, repo: "me/secret", files });
    const toCdn = b.hub.requests.filter(({ at }) => at === "cdn");
    expect(toCdn.length).toBeGreaterThan(1);
    expect(toCdn.map(({ authorization }) => authorization)).toEqual(toCdn.map(() => undefined));
    for (const { at, authorization } of b.hub.requests)
      if (at === "hub") expect(authorization).toBe("Bearer hf_secret");
  });

  it("does not give the token again once a redirect has led away and back", async () => {
    b.hub.commit("me/boomerang", small, { lfs });
    b.hub.intercept = ({ at, method, url }, response) => {
      if (at === "cdn") response.writeHead(302, { Location: `${b.hub.url}/elsewhere` }).end();
      else if (url === "/elsewhere")
        response.writeHead(200, { "Content-Length": WEIGHTS.length }).end(WEIGHTS);
      return at === "cdn" || (url === "/elsewhere" && method === "GET");
    };
    const env = { ...b.env, HF_TOKEN: "hf_secret" };
    await fetchFromHub({ ...b.options, env, repo: "me/boomerang", files });
    expect(b.hub.requests.find(({ url }) => url === "/elsewhere")?.authorization).toBeUndefined();
  });

  it("works from a cache that cannot be written, and says so if it must be", async () => {
    b.hub.commit("me/readonly", small, { lfs });
    const folder = await fetchFromHub({ ...b.options, repo: "me/readonly", files });
    const root = join(folder, "../..");
    const folders = [root, join(root, "refs"), join(root, "snapshots"), folder, join(root, "blobs")];
    for (const path of folders) await chmod(path, 0o555);
    await chmod(b.folder, 0o755);
    const back = asAnyone();
    try {
      expect(await fetchFromHub({ ...b.options, repo: "me/readonly", files })).toBe(folder);
      b.hub.commit("me/readonly", { "config.json": "new" });
      const error = await failure(fetchFromHub({ ...b.options, repo: "me/readonly", files: names }));
      expect(error).toMatchObject({ code: "invalid_argument" });
      expect(error.message).toContain("EACCES");
    } finally {
      back();
      for (const path of folders) await chmod(path, 0o755);
    }
  });
});

/** Root may write anything, so this process becomes the user nobody until the returned function is called. */
function asAnyone(): () => void {
  if (process.getuid?.() !== 0) return () => undefined;
  process.seteuid?.(65534);
  return () => process.seteuid?.(0);
}
