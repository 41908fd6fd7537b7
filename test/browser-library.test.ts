import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import type { BrowserContext, Page } from "playwright-core";
import { build as bundle } from "vite";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { programs } from "../build/program-text.mjs";
import { encodeAlignment } from "../engine/alignment/alignment-file.ts";
import type { Gpu } from "../engine/device/gpu.ts";
import { collect, type GenerateOptions } from "../engine/generate.ts";
import { Model } from "../engine/model.ts";
import { breakOff, type FileServer, serveFiles } from "../engine/platform/browser/testing/file-server.ts";
import { defaultModelFolder, openModelFolder } from "../engine/platform/node/files.ts";
import { writeSafetensors } from "../weights/safetensors.ts";
import { type Launched, launchChromium } from "./chromium.ts";
import { randomFloats, testGpu } from "./gpu.ts";
import { byteTokenizer, collectBytes, fixturePath, writeModel } from "./models.ts";

type Library = typeof import("../engine/platform/browser/index.ts");

declare global {
  var resonant: Library;
  var pageGpu: Gpu;
}

const PROMPT = "ROMEO:";
const GREEDY: GenerateOptions = { maxTokens: 8, temperature: 0 };

const gpu = await testGpu();
let folder: string;
let server: FileServer;
let elsewhere: FileServer;
let chromium: Launched;
let context: BrowserContext;
let page: Page;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "resonant-browser-"));
  await writeModel(join(folder, "tiny"));
  [server, elsewhere] = [await serveFiles(), await serveFiles()];
  const library = await build({
    stdin: {
      contents: `import * as resonant from "./engine/platform/browser/index.ts"; Object.assign(globalThis, { resonant });`,
      resolveDir: fixturePath("../.."),
    },
    bundle: true,
    format: "esm",
    platform: "browser",
    loader: { ".wgsl": "text" },
    plugins: [programs(build)],
    write: false,
  });
  server.files.set("/library.js", Buffer.from(library.outputFiles[0]!.contents));
  server.files.set("/index.html", Buffer.from(`<script type="module" src="/library.js"></script>`));
  chromium = await launchChromium({
    webgpu: true,
    args: ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
  });
  context = await chromium.browser.newContext();
  page = await context.newPage();
  await page.goto(`${server.origin}/index.html`);
  await page.evaluate(async () => {
    globalThis.pageGpu = await resonant.Gpu.open(await resonant.requestAdapter());
  });
}, 600_000);

afterAll(async () => {
  await chromium?.close();
  await Promise.all([server?.close(), elsewhere?.close()]);
  await rm(folder, { recursive: true });
});

/** Serves a folder's files, and the files of `more`. */
async function serve(at: string, from: string, more: Readonly<Record<string, Buffer>> = {}): Promise<void> {
  for (const name of await readdir(from, { recursive: true })) {
    if ((await stat(join(from, name))).isFile())
      server.files.set(`/${at}/${name}`, await readFile(join(from, name)));
  }
  for (const [name, file] of Object.entries(more)) server.files.set(`/${at}/${name}`, file);
}

/** Splits a model's weights into two shards with an index. */
async function inShards(from: string): Promise<Record<string, Buffer>> {
  const { tensors: file, close } = await openModelFolder(from);
  const home = (name: string): string => (name === "head.weight" ? "head.safetensors" : "rest.safetensors");
  const write = (shard: string): Promise<Buffer> => {
    const tensors = [...file.tensors.values()].filter(({ name }) => home(name) === shard);
    return collectBytes(
      writeSafetensors(tensors.map((tensor) => ({ ...tensor, bytes: () => file.bytes(tensor.name) }))),
    );
  };
  const weight_map = Object.fromEntries([...file.tensors.keys()].map((name) => [name, home(name)]));
  const files = {
    "model.safetensors.index.json": Buffer.from(JSON.stringify({ weight_map })),
    "head.safetensors": await write("head.safetensors"),
    "rest.safetensors": await write("rest.safetensors"),
  };
  await close();
  return files;
}

const tokenizerFiles = (): Record<string, Buffer> => {
  const { tokenizer, tokenizerConfig } = byteTokenizer();
  return {
    "tokenizer.json": Buffer.from(JSON.stringify(tokenizer)),
    "tokenizer_config.json": Buffer.from(JSON.stringify(tokenizerConfig)),
  };
};

interface Asked {
  readonly adapters?: string;
  readonly alignment?: string;
  readonly cache?: boolean | string;
  /** Pass the files as a dropped folder. */
  readonly dropped?: readonly string[];
  readonly generate?: GenerateOptions;
}

interface Answer {
  readonly name: string;
  readonly tokens: readonly number[];
  readonly text: string;
  readonly progress: readonly (readonly [number, number | undefined, string])[];
  readonly remarks: readonly string[];
  /** The requests that the server received. */
  readonly requests: readonly string[];
}

/** Loads a model in the page and generates with it. @throws the error that the library threw in the page */
async function said(from: string, asked: Asked = {}): Promise<Answer> {
  server.requests.length = 0;
  const options = { ...asked, generate: asked.generate ?? GREEDY };
  const answer = await page.evaluate(
    async ([url, prompt, { dropped, generate, ...how }]) => {
      const progress: [number, number | undefined, string][] = [];
      const remarks: string[] = [];
      let source: string | Map<string, Blob> = url;
      if (dropped) {
        source = new Map();
        for (const name of dropped) source.set(`mine/${name}`, await (await fetch(`${url}/${name}`)).blob());
      }
      const model = await resonant.loadModel(source, {
        ...how,
        gpu: pageGpu,
        slots: 1,
        prefixBytes: 0,
        onProgress: (...told) => progress.push(told),
        onRemark: (remark) => remarks.push(remark),
      });
      const { tokens, text } = await resonant.collect(model.generate(prompt, generate));
      return { name: model.name, tokens, text, progress, remarks };
    },
    [from, PROMPT, options] as const,
  );
  return { ...answer, requests: [...server.requests] };
}

/** Returns what the engine generates in Node with a folder's files. */
async function saidInNode(
  from: string,
  options: { adapters?: string; generate?: GenerateOptions; tokenizer?: boolean } = {},
): Promise<{ tokens: readonly number[]; text: string }> {
  const files = await openModelFolder(from, options.adapters);
  const model = await Model.load(
    gpu,
    { ...files, ...(options.tokenizer ? byteTokenizer() : {}) },
    { slots: 1 },
  );
  await files.close();
  return collect(model.generate(PROMPT, options.generate ?? GREEDY));
}

const weightsIn = (requests: readonly string[]): string[] =>
  requests.filter(
    (request) => request.startsWith("GET") && request.includes("safetensors") && !request.endsWith(".json"),
  );

describe("a model in a page", () => {
  it("that ships with the package gives the same text as in Node, and downloads its weights once", async () => {
    const shipped = await defaultModelFolder();
    await serve("shakespeare", shipped);
    const generate = { maxTokens: 24, seed: 1 };
    const { tokens, text } = await saidInNode(shipped, { generate });
    const size = server.files.get("/shakespeare/model.safetensors")!.length;
    for (const from of ["network", "cache"] as const) {
      const answer = await said("shakespeare", { generate });
      expect(answer).toMatchObject({ name: `${server.origin}/shakespeare/`, text, remarks: [] });
      expect(answer.tokens).toEqual(tokens);
      expect(answer.progress.at(-1)).toEqual([size, size, from]);
      const weights = "/shakespeare/model.safetensors";
      const asked = answer.requests.filter((request) => request.endsWith(weights));
      expect(asked).toEqual([`${from === "network" ? "GET" : "HEAD"} ${weights}`]);
    }
  });

  it("may be in shards, with progress over their total length", async () => {
    const from = fixturePath("base-models/neox-sharded-padded-vocab");
    await serve("sharded", from, tokenizerFiles());
    const { tokens } = await saidInNode(from, { tokenizer: true });
    const shards = [...server.files].filter(([path]) => /sharded\/.*-of-.*safetensors$/.test(path));
    const size = shards.reduce((sum, [, file]) => sum + file.length, 0);
    const first = await said("sharded");
    expect(first.tokens).toEqual(tokens);
    expect(weightsIn(first.requests)).toHaveLength(3);
    expect(first.progress[0]?.[1]).toBe(size);
    expect(first.progress.at(-1)).toEqual([size, size, "network"]);
    const second = await said("sharded");
    expect(second.tokens).toEqual(tokens);
    expect(weightsIn(second.requests)).toEqual([]);
  });

  it("may have adapters and an alignment", async () => {
    const base = fixturePath("base-models/neox-parallel");
    const adapters = fixturePath("checkpoints/adapters_d32_zip.pt");
    const [bare, adapted] = [
      await saidInNode(base, { tokenizer: true }),
      await saidInNode(base, { tokenizer: true, adapters }),
    ];
    expect(adapted.tokens).not.toEqual(bare.tokens);
    await serve("base", base, { ...tokenizerFiles(), "adapters.pt": await readFile(adapters) });
    expect((await said("base")).tokens).toEqual(bare.tokens);
    expect((await said("base", { adapters: "adapters.pt" })).tokens).toEqual(adapted.tokens);
    expect((await said("base", { adapters: `${server.origin}/base/adapters.pt` })).tokens).toEqual(
      adapted.tokens,
    );
    expect(
      (
        await said("base", {
          adapters: "adapters.pt",
          dropped: ["config.json", "model.safetensors", "adapters.pt", ...Object.keys(tokenizerFiles())],
        })
      ).tokens,
    ).toEqual(adapted.tokens);
  });

  it("may be aligned", async () => {
    const tiny = join(folder, "tiny");
    const files = await openModelFolder(tiny);
    const model = await Model.load(gpu, files, { slots: 1 }).finally(files.close);
    const { size } = model.weights.shape;
    const alignment = { weights: randomFloats(1, size * size), lambda: 1, tokens: 1, residual: 0 };
    const file = await collectBytes(encodeAlignment(model, alignment));
    await serve("aligned", tiny, { "votes.safetensors": file });
    const mute = await said("aligned", { alignment: "votes.safetensors" });
    model.align(alignment);
    const generate = { ...GREEDY, readoutScale: 100 };
    const { tokens } = await collect(model.generate(PROMPT, generate));
    expect(mute.tokens).not.toEqual(tokens);
    expect((await said("aligned", { alignment: "votes.safetensors", generate })).tokens).toEqual(tokens);
  });

  it("opens a device if none is given, also in a worker with a relative path", async () => {
    await serve("worker/tiny", join(folder, "tiny"));
    server.files.set(
      "/worker/worker.js",
      Buffer.from(`import "/library.js";
        const model = await resonant.loadModel("tiny", { slots: 1 });
        const { tokens } = await resonant.collect(model.generate("${PROMPT}", ${JSON.stringify(GREEDY)}));
        model.gpu.destroy();
        postMessage(tokens);`),
    );
    const tokens = await page.evaluate(
      () =>
        new Promise<readonly number[]>((resolve, reject) => {
          const worker = new Worker("/worker/worker.js", { type: "module" });
          worker.onmessage = ({ data }) => resolve(data);
          worker.onerror = ({ message }) => reject(new Error(message));
        }),
    );
    expect(tokens).toEqual((await saidInNode(join(folder, "tiny"))).tokens);
  });

  it("can also be aborted during the upload to the GPU", async () => {
    await serve("given-up", join(folder, "tiny"));
    const thrown = await page.evaluate(async () => {
      const stop = new AbortController();
      const onUpload = (done: number): void => (done === 2 ? stop.abort("enough") : undefined);
      return resonant
        .loadModel("given-up", { gpu: pageGpu, signal: stop.signal, onUpload })
        .catch((error: unknown) => error);
    });
    expect(thrown).toBe("enough");
  });
});

it("the example works when Vite bundles it from the package's entry", async () => {
  const out = join(folder, "example");
  await bundle({
    root: fixturePath("../../examples/browser"),
    base: "/example/",
    publicDir: false,
    logLevel: "silent",
    build: { outDir: out },
  });
  await serve("example", out);
  await serve("example/shakespeare", await defaultModelFolder());
  const visit = await context.newPage();
  await visit.goto(`${server.origin}/example/index.html`);
  await visit.waitForFunction(() =>
    /^ROMEO:[\s\S]{20}/.test(document.querySelector("pre")?.textContent ?? ""),
  );
  await visit.close();
});

describe("the cache of a model", () => {
  /** Another version of the tiny model, which generates another text. */
  let before: readonly number[];
  let after: readonly number[];

  beforeAll(async () => {
    await writeModel(join(folder, "trained"), (tensors) => {
      for (const name of ["embed.weight", "head.weight"]) {
        const tensor = tensors.get(name)!;
        const values = randomFloats(7, tensor.shape[0]! * tensor.shape[1]!);
        tensors.set(name, { ...tensor, dtype: "F32", bytes: async () => new Uint8Array(values.buffer) });
      }
    });
    before = (await saidInNode(join(folder, "tiny"))).tokens;
    after = (await saidInNode(join(folder, "trained"))).tokens;
    expect(after).not.toEqual(before);
  });
  afterEach(async () => {
    server.intercept = () => false;
    await context.setOffline(false);
  });

  const offline = async (from: string): Promise<Answer> => {
    await context.setOffline(true);
    const answer = await said(from).finally(() => context.setOffline(false));
    expect(answer.remarks).toEqual([
      expect.stringMatching(/could not be fetched .*: what was fetched before is used$/),
    ]);
    expect(answer.progress.at(-1)?.[2]).toBe("cache");
    expect(answer.requests).toEqual([]);
    return answer;
  };

  const cut = (path: string): void => {
    server.intercept = ({ method, url }, response) => {
      if (method !== "GET" || url !== path) return false;
      breakOff(response, server.files.get(path)!);
      return true;
    };
  };

  const kept = (from?: string): Promise<number> => page.evaluate((url) => resonant.keptBytes(url), from);

  const bytesServed = (at: string): number =>
    [...server.files].reduce((sum, [path, file]) => sum + (path.startsWith(`/${at}/`) ? file.length : 0), 0);

  it("is enough to load without a network", async () => {
    await serve("offline", join(folder, "tiny"));
    await said("offline");
    expect((await offline("offline")).tokens).toEqual(before);
  });

  it("is replaced when the server has another version, even if the browser cached the old one", async () => {
    server.intercept = (_, response) => {
      response.setHeader("Cache-Control", "max-age=3600");
      return false;
    };
    await serve("version", join(folder, "tiny"));
    expect((await said("version")).tokens).toEqual(before);
    await serve("version", join(folder, "trained"));
    const answer = await said("version");
    expect(answer.tokens).toEqual(after);
    expect(weightsIn(answer.requests)).toHaveLength(1);
    expect((await offline("version")).tokens).toEqual(after);
    expect(await kept("version")).toBe(bytesServed("version"));
  });

  it.each([405, 501, 503])("is used if the server answers HEAD with %i", async (status) => {
    await serve("headless", join(folder, "tiny"));
    await said("headless");
    server.intercept = ({ method }, response) => {
      if (method !== "HEAD") return false;
      response.writeHead(status).end();
      return true;
    };
    const answer = await said("headless");
    expect(answer.tokens).toEqual(before);
    expect(weightsIn(answer.requests)).toEqual([]);
  });

  it.each([
    ["breaks off", () => cut("/broken/model.safetensors"), "truncated: it broke off after"],
    [
      "ends too soon at the server",
      () => {
        const path = "/broken/model.safetensors";
        server.files.set(path, server.files.get(path)!.subarray(0, -4));
      },
      "truncated: it ends at data byte",
    ],
  ])("is nothing of a download that %s, and all of the next that does not", async (_, spoil, message) => {
    await page.evaluate(() => resonant.forgetModel("broken"));
    await serve("broken", join(folder, "tiny"));
    spoil();
    await expect(said("broken")).rejects.toThrow(message);
    expect(await kept("broken")).toBe(0);
    server.intercept = () => false;
    await serve("broken", join(folder, "tiny"));
    expect((await said("broken")).tokens).toEqual(before);
    expect(await kept("broken")).toBe(bytesServed("broken"));
  });

  it("keeps the whole old version if a download of a new shard fails", async () => {
    await serve("mixed", join(folder, "tiny"), await inShards(join(folder, "tiny")));
    server.files.delete("/mixed/model.safetensors");
    expect((await said("mixed")).tokens).toEqual(before);
    await serve("mixed", join(folder, "trained"), await inShards(join(folder, "trained")));
    cut("/mixed/head.safetensors");
    await expect(said("mixed")).rejects.toThrow(/head\.safetensors: truncated/);
    expect((await offline("mixed")).tokens).toEqual(before);
    server.intercept = () => false;
    expect((await said("mixed")).tokens).toEqual(after);
    expect((await offline("mixed")).tokens).toEqual(after);
  });

  it("is deleted on request, for one model or all, and is not used if turned off", async () => {
    await page.evaluate(() => resonant.forgetModel());
    for (const at of ["one", "one-more"]) await serve(at, join(folder, "tiny"));
    await said("one", { cache: false });
    expect(await kept()).toBe(0);
    await said("one");
    await said("one-more");
    const size = bytesServed("one");
    expect([await kept("one"), await kept()]).toEqual([size, 2 * size]);
    await page.evaluate(() => resonant.forgetModel("one"));
    expect([await kept("one"), await kept()]).toEqual([0, size]);
    expect(weightsIn((await said("one")).requests)).toHaveLength(1);
    await page.evaluate(() => resonant.forgetModel());
    expect(await kept()).toBe(0);
    await said("one", { cache: "another" });
    expect(await kept()).toBe(0);
    expect(await page.evaluate(() => resonant.keptBytes("one", "another"))).toBe(size);
  });

  it("is not filled if there is no room, and the model still runs", async () => {
    await serve("large", join(folder, "tiny"));
    const { origin } = server;
    const cdp = await context.newCDPSession(page);
    await cdp.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 1000 });
    try {
      const answer = await said("large");
      expect(answer.tokens).toEqual(before);
      expect(answer.remarks).toContainEqual(
        expect.stringMatching(
          /model\.safetensors: it could not be kept for the next time \(QuotaExceededError/,
        ),
      );
      expect(weightsIn((await said("large")).requests)).toHaveLength(1);
    } finally {
      await cdp.send("Storage.overrideQuotaForOrigin", { origin });
    }
  });
});

describe("a model that cannot be loaded gives an error with the URL, the reason and a fix:", () => {
  afterEach(() => context.setOffline(false));

  it("no file at the URL", async () => {
    await expect(said("nowhere")).rejects.toThrow(
      `ResonantError: ${server.origin}/nowhere/config.json: there is no such file (HTTP 404). Give the URL of a folder`,
    );
  });

  it("no network and no cache", async () => {
    await context.setOffline(true);
    await expect(said("nowhere")).rejects.toThrow(
      /nowhere\/config\.json: it could not be fetched .* There is no network/,
    );
  });

  it("a server of another origin that does not allow the page, until it does", async () => {
    await serve("shared", join(folder, "tiny"));
    for (const [path, file] of server.files) if (path.startsWith("/shared/")) elsewhere.files.set(path, file);
    const url = `${elsewhere.origin}/shared`;
    await expect(said(url)).rejects.toThrow(
      `does it allow this page (Access-Control-Allow-Origin: ${server.origin})?`,
    );
    elsewhere.intercept = (_, response) => {
      response.setHeader("Access-Control-Allow-Origin", "*");
      response.setHeader("Last-Modified", "Tue, 24 Nov 2026 04:00:00 GMT"); // a page may read this header, but not the ETag
      return false;
    };
    const { tokens } = await saidInNode(join(folder, "tiny"));
    for (const from of ["network", "cache"]) {
      const answer = await said(url);
      expect(answer.tokens).toEqual(tokens);
      expect(answer.progress.at(-1)?.[2]).toBe(from);
    }
  });
});
