import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { openModel } from "./index.ts";
import { breakOff, serveFiles } from "./testing/file-server.ts";

/** A safetensors file of one tensor, `w` of `count` zeros. */
function weights(count: number, name = "w"): Buffer {
  const end = count * 4;
  const header = Buffer.from(
    JSON.stringify({ [name]: { dtype: "F32", shape: [count], data_offsets: [0, end] } }),
  );
  const length = Buffer.alloc(8);
  length.writeUInt32LE(header.length);
  return Buffer.concat([length, header, Buffer.alloc(end)]);
}

const INDEX = JSON.stringify({ weight_map: { a: "a.safetensors", b: "b.safetensors" } });
const PAGE = "<!DOCTYPE html><title>An app</title>";

describe("a folder on a server", async () => {
  const server = await serveFiles();
  const { files } = server;
  const at = (file: string): string => `${server.origin}/m/${file}`;
  const put = (file: string, content: string | Buffer): unknown =>
    files.set(`/m/${file}`, Buffer.from(content));
  afterAll(() => server.close());
  beforeEach(() => {
    files.clear();
    server.intercept = () => false;
    put("config.json", '{"a": 1}');
    put("model.safetensors", weights(1000));
  });

  it("gives the configuration, the tensors and the text files that are there, and null for those that are not", async () => {
    put("tokenizer.json", "[1]");
    put("chat_template.jinja", "{{ bos }}");
    const model = await openModel(at(""));
    expect(model).toMatchObject({ name: at(""), config: { a: 1 }, tokenizer: [1], tokenizerConfig: null });
    expect(model.chatTemplate).toBe("{{ bos }}");
    expect(await model.tensors.float32("w")).toEqual(new Float32Array(1000));
    expect((await openModel(at(""), { name: "mine" })).name).toBe("mine");
  });

  it("takes a web page in a file's place for its absence, as servers of single pages answer everything", async () => {
    server.intercept = ({ url }, response) => {
      if (url === "/m/config.json" || url === "/m/model.safetensors") return false;
      response.setHeader("Content-Type", "text/html").end(PAGE);
      return true;
    };
    expect(await openModel(at(""))).toMatchObject({ tokenizer: null, chatTemplate: null });
  });

  it("tells of the bytes of all shards, adapters and alignments together", async () => {
    files.delete("/m/model.safetensors");
    put("model.safetensors.index.json", INDEX);
    const [a, b, more] = [weights(1000, "a"), weights(2000, "b"), weights(10)];
    put("a.safetensors", a);
    put("b.safetensors", b);
    put("more.safetensors", more);
    const told: unknown[][] = [];
    const model = await openModel(at(""), {
      adapters: "more.safetensors",
      alignment: new URL(at("more.safetensors?2")),
      onProgress: (...progress) => told.push(progress),
    });
    expect([...model.tensors.tensors.keys()]).toEqual(["a", "b"]);
    expect(model.adapters?.name).toBe(at("more.safetensors"));
    expect(model.alignment?.name).toBe(at("more.safetensors?2"));
    const all = a.length + b.length + 2 * more.length;
    expect(told[0]?.[1]).toBe(all);
    expect(told.at(-1)).toEqual([all, all, "network"]);
  });

  it("tells no total where the length is that of compressed bytes", async () => {
    const { gzipSync } = await import("node:zlib");
    server.intercept = ({ url }, response) => {
      const file = files.get(url ?? "");
      if (!file) return false;
      const packed = gzipSync(file);
      response.writeHead(200, { "Content-Encoding": "gzip", "Content-Length": packed.length }).end(packed);
      return true;
    };
    const told: unknown[][] = [];
    await openModel(at(""), { onProgress: (...progress) => told.push(progress) });
    const all = weights(1000).length;
    expect(told[0]?.[1]).toBeUndefined();
    expect(told.at(-1)).toEqual([all, all, "network"]);
  });

  const status =
    (code: number, of: string): typeof server.intercept =>
    ({ url }, response) => {
      if (!url?.endsWith(of)) return false;
      response.writeHead(code).end();
      return true;
    };
  it.each<[string, string, RegExp, () => unknown]>([
    [
      "has no config.json",
      "config.json",
      /no such file \(HTTP 404\)\. Give the URL of a folder/,
      () => files.delete("/m/config.json"),
    ],
    [
      "has a page in the place of config.json",
      "config.json",
      /no such file \(there is a web page/,
      () => put("config.json", PAGE),
    ],
    ["has a config.json that is no JSON", "config.json", /it is not JSON/, () => put("config.json", "{")],
    ["may not be read", "config.json", /HTTP 401/, () => (server.intercept = status(401, "config.json"))],
    [
      "is on a server in trouble",
      "config.json",
      /HTTP 503\. Try again later/,
      () => (server.intercept = status(503, "config.json")),
    ],
    [
      "has no weights",
      "model.safetensors",
      /no such file \(HTTP 404\)/,
      () => files.delete("/m/model.safetensors"),
    ],
    [
      "has a page in the place of its weights",
      "model.safetensors",
      /is an HTML or XML page/,
      () => put("model.safetensors", PAGE),
    ],
    [
      "has a weights' file cut short",
      "model.safetensors",
      /truncated/,
      () => put("model.safetensors", weights(1000).subarray(0, 900)),
    ],
    ["lacks a shard", "a.safetensors", /no such file/, () => put("model.safetensors.index.json", INDEX)],
  ])("that %s is refused by the file's URL", async (_, file, message, spoil) => {
    spoil();
    await expect(openModel(at(""))).rejects.toMatchObject({
      code: "invalid_file",
      where: expect.stringContaining(at(file)),
      message: expect.stringMatching(message),
    });
  });

  it("whose weights break off on the way is refused, with how much came", async () => {
    const half = weights(100_000);
    put("model.safetensors", half);
    server.intercept = ({ url }, response) => {
      if (!url?.endsWith("model.safetensors")) return false;
      breakOff(response, half);
      return true;
    };
    await expect(openModel(at(""))).rejects.toThrow(
      new RegExp(
        `model\\.safetensors: truncated: it broke off after \\d+ of ${half.length} bytes\\. Load it again`,
      ),
    );
  });

  it("on a server that is not there is refused with what may be wrong", async () => {
    const gone = await serveFiles();
    await gone.close();
    await expect(openModel(gone.origin)).rejects.toThrow(
      /config\.json: it could not be fetched \(.*Is its server running\?/,
    );
  });

  it("is given up with the signal's reason, before and on the way", async () => {
    const reason = new Error("enough");
    await expect(openModel(at(""), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const stop = new AbortController();
    server.intercept = ({ url }, response) => {
      if (!url?.endsWith("model.safetensors")) return false;
      response.writeHead(200, { "Content-Length": 1000 }).write("begun");
      return true;
    };
    const onProgress = (): void => stop.abort(reason);
    await expect(openModel(at(""), { signal: stop.signal, onProgress })).rejects.toBe(reason);
  });
});

describe("dropped files", () => {
  const dropped = (names: Record<string, string | Buffer>): Map<string, Blob> =>
    new Map(
      Object.entries(names).map(([name, content]) => [
        name,
        new Blob([new Uint8Array(Buffer.from(content))]),
      ]),
    );

  it("are a model, with or without their folder, the outermost one that has a config.json", async () => {
    const plain = await openModel(dropped({ "config.json": "{}", "model.safetensors": weights(3) }));
    expect(plain.name).toBe("dropped files");
    const model = await openModel(
      dropped({
        "mine/onnx/config.json": "[]",
        "mine/config.json": '{"a": 1}',
        "mine/model.safetensors.index.json": INDEX,
        "mine/a.safetensors": weights(1, "a"),
        "mine/b.safetensors": weights(2, "b"),
        "mine/more.safetensors": weights(4),
      }),
      { adapters: "more.safetensors" },
    );
    expect(model).toMatchObject({ name: "mine", config: { a: 1 }, tokenizer: null });
    expect([...model.tensors.tensors.keys()]).toEqual(["a", "b"]);
    expect(await model.adapters?.float32("w")).toHaveLength(4);
  });

  it.each<[string, Record<string, string>, string]>([
    ["nothing", {}, "config.json: it is missing; there are no files. Give the whole folder of a model"],
    [
      "no configuration",
      { "x/a.txt": "", "x/b.txt": "" },
      "config.json: it is missing; there are only x/a.txt, x/b.txt.",
    ],
    [
      "no weights",
      { "x/config.json": "{}" },
      "x/model.safetensors: it is missing; there are only x/config.json.",
    ],
    [
      "two models",
      { "x/config.json": "{}", "y/config.json": "{}" },
      "from: there are two models: x/ and y/.",
    ],
    ["a broken file", { "config.json": "{" }, "config.json: it is not JSON"],
  ])("with %s are refused by name", async (_, files, message) => {
    await expect(openModel(dropped(files))).rejects.toThrow(message);
  });
});
