import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { fetchModel, readShards, resolveModel } from "./model.ts";
import { bench, failure } from "./testing/bench.ts";

const b = bench();
const SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
const indexOf = (...shards: readonly unknown[]): string =>
  JSON.stringify({ weight_map: Object.fromEntries(shards.map((shard, i) => [`t${i}`, shard])) });
const INDEX = "model.safetensors.index.json";

describe("a model's name", () => {
  it("is a folder if there is one, even of a form that a hub knows", async () => {
    const folder = join(b.folder, "me", "model");
    await mkdir(folder, { recursive: true });
    expect(await resolveModel(folder, b.options)).toBe(folder);
    expect(b.hub.requests).toEqual([]);
  });

  it("is owner/name on a hub, with a revision after @", async () => {
    const files = { "config.json": "{}", "model.safetensors": "w" };
    const tagged = b.hub.commit("me/named", { ...files, "config.json": "[]" }, { branch: "v1.0" });
    const tip = b.hub.commit("me/named", files);
    expect(await resolveModel("me/named", b.options)).toContain(tip);
    expect(await resolveModel("me/named@v1.0", b.options)).toContain(tagged);
    expect(await resolveModel(`me/named@${tip}`, b.options)).toContain(tip);
  });

  it.each(["", "gpt2", "./me/x", "../x", "/no/such", "a/b/c", "me\\x", "me/x y", "me/../x"])(
    "is neither: %j",
    async (name) => {
      const error = await failure(resolveModel(name, b.options));
      expect(error).toMatchObject({ code: "invalid_argument", where: JSON.stringify(name) });
      expect(b.hub.requests).toEqual([]);
    },
  );

  it.each(["me/x@", "me/x@../y", "me/x@a@..", "me/x@/"])("has a revision that is none: %j", async (name) => {
    expect((await failure(resolveModel(name, b.options))).code).toBe("invalid_argument");
    expect(b.hub.requests).toEqual([]);
  });
});

describe("a model's files", () => {
  it("are those that the engine reads, and no others", async () => {
    b.hub.commit("me/files", {
      "config.json": "{}",
      "tokenizer.json": "{}",
      "chat_template.jinja": "{{ x }}",
      "model.safetensors": "w",
      "pytorch_model.bin": "pickle",
      "run.py": "evil",
    });
    const options = { ...b.options, repo: "me/files" };
    const folder = await fetchModel(options);
    const there = ["chat_template.jinja", "config.json", "model.safetensors", "tokenizer.json"];
    expect((await readdir(folder)).sort()).toEqual(there);
    b.hub.asked();
    await fetchModel(options);
    expect(b.hub.asked()).toEqual(["HEAD /me/files/resolve/main/config.json"]);
  });

  it("are the shards where there is an index, each once, also offline", async () => {
    const index = indexOf(SHARDS[0], SHARDS[1], SHARDS[0]);
    b.hub.commit(
      "me/shards",
      { "config.json": "{}", [INDEX]: index, [SHARDS[0] ?? ""]: "one", [SHARDS[1] ?? ""]: "two", other: "x" },
      { lfs: SHARDS },
    );
    const options = { ...b.options, repo: "me/shards" };
    const folder = await fetchModel(options);
    expect((await readdir(folder)).sort()).toEqual(["config.json", ...SHARDS, INDEX].sort());
    expect(await readFile(join(folder, SHARDS[1] ?? ""), "utf8")).toBe("two");
    b.hub.asked();
    await fetchModel(options);
    expect(b.hub.asked()).toEqual(["HEAD /me/shards/resolve/main/config.json"]);
    expect(await fetchModel({ ...options, env: { ...b.env, HF_HUB_OFFLINE: "1" } })).toBe(folder);
    expect(b.hub.asked()).toEqual([]);
  });

  it("are refused when the configuration, the weights or a shard is missing, before anything appears", async () => {
    b.hub.commit("me/noconfig", { "model.safetensors": "w" });
    b.hub.commit("me/noweights", { "config.json": "{}" });
    b.hub.commit("me/noshard", {
      "config.json": "{}",
      [INDEX]: indexOf(...SHARDS),
      [SHARDS[0] ?? ""]: "one",
    });
    for (const [repo, name] of [
      ["me/noconfig", "config.json"],
      ["me/noweights", "model.safetensors (or"],
      ["me/noshard", `${SHARDS[1]} (named in ${INDEX})`],
    ] as const) {
      const error = await failure(fetchModel({ ...b.options, repo }));
      expect(error.code).toBe("invalid_file");
      expect(error.where).toContain(name);
      const folder = join(b.env.HF_HOME ?? "", "hub", `models--${repo.replace("/", "--")}`);
      expect(await readdir(folder).catch(() => [])).not.toContain("snapshots");
    }
  });

  it.each([
    "../evil.safetensors",
    "/etc/evil.safetensors",
    "a/b.safetensors",
    "a\\b.safetensors",
    "..",
    "",
    "model.bin",
    "C:x.safetensors",
    "a\nb.safetensors",
    ".safetensors.",
    7,
    null,
    { a: 1 },
  ])("are refused when the index names %j", async (shard) => {
    const repo = "me/evil";
    b.hub.commit(repo, { "config.json": "{}", [INDEX]: indexOf(SHARDS[0], shard), [SHARDS[0] ?? ""]: "one" });
    const error = await failure(fetchModel({ ...b.options, repo }));
    expect(error).toMatchObject({ code: "invalid_file", where: `me/evil/${INDEX}` });
    expect(b.hub.requests.filter(({ url }) => /evil\.|etc|a\/b/.test(url))).toEqual([]);
  });

  it.each([
    "",
    "[",
    "[]",
    "null",
    "7",
    "{}",
    '{"weight_map":[]}',
    '{"weight_map":{}}',
    '{"weight_map":null}',
  ])("are refused when the index is %j", async (text) => {
    const path = join(b.folder, INDEX);
    await writeFile(path, text);
    expect(await failure(readShards(path, "index"))).toMatchObject({ code: "invalid_file", where: "index" });
  });
});
