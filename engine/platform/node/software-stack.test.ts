import { fork } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliCompressSync } from "node:zlib";
import { build } from "esbuild";
import { create } from "tar";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Resolve } from "./npm-tarball.ts";
import type { SoftwarePackage } from "./software-package.ts";
import { fetchSoftwareStack } from "./software-stack.ts";

let folder: string;
let cache: string;
let pkg: SoftwarePackage;
let tarball: Buffer;
let server: Server;
let served: Buffer;
let requests = 0;
let url: string;

const members = ["driver.tar.br", "program.br"] as const;
const resolve: Resolve = async (wanted) => ({ tarball: url, integrity: wanted.integrity });
const noNetwork: Resolve = async () => {
  throw new Error("the network was asked");
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "resonant-stack-test-"));
  const content = join(folder, "content");
  await mkdir(join(content, "lib"), { recursive: true });
  await writeFile(join(content, "lib", "driver.so"), "a driver".repeat(5000));
  await writeFile(join(content, "driver.json"), "{}");
  await create({ file: join(folder, "driver.tar"), cwd: content }, ["lib", "driver.json"]);
  const bin = join(folder, "package", "bin");
  await mkdir(bin, { recursive: true });
  const program = Buffer.from("a program");
  await writeFile(join(bin, "driver.tar.br"), brotliCompressSync(await readFile(join(folder, "driver.tar"))));
  await writeFile(join(bin, "program.br"), brotliCompressSync(program));
  await writeFile(join(bin, "unwanted.br"), "never unpacked");
  await create({ file: join(folder, "package.tgz"), cwd: folder, gzip: true }, ["package"]);
  tarball = await readFile(join(folder, "package.tgz"));
  const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
  pkg = {
    name: "@example/stack",
    version: "1.0.0",
    size: tarball.length,
    integrity: `sha512-${createHash("sha512").update(tarball).digest("base64")}`,
    members: {
      "driver.tar.br": {
        "driver.json": sha256(Buffer.from("{}")),
        "lib/driver.so": sha256(await readFile(join(content, "lib", "driver.so"))),
      },
      "program.br": { program: sha256(program) },
      "absent.br": { absent: "" },
    },
  };
  server = createServer((_, response) => {
    requests++;
    response.end(served);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/package.tgz`;
});

beforeEach(() => {
  cache = join(folder, `cache-${randomUUID()}`);
  served = tarball;
  requests = 0;
});

afterAll(async () => {
  server.close();
  await rm(folder, { recursive: true, force: true });
});

const fetchStack = (over: Partial<Parameters<typeof fetchSoftwareStack>[0]> = {}) =>
  fetchSoftwareStack<string>({ members, pkg, resolve, env: { RESONANT_CACHE: cache }, ...over });

const leftBehind = async () => (await readdir(cache, { recursive: true })).sort();

describe("the software stack", () => {
  it("unpacks exactly the wanted members, with progress, and nothing beside them", async () => {
    const seen: [number, number][] = [];
    const folders = await fetchStack({ onProgress: (bytes, total) => seen.push([bytes, total]) });
    expect(folders).toEqual({
      "driver.tar.br": join(cache, "stack-1.0.0", "driver"),
      "program.br": join(cache, "stack-1.0.0", "program"),
    });
    expect(await leftBehind()).toEqual(
      [
        "stack-1.0.0",
        "stack-1.0.0/driver",
        "stack-1.0.0/driver/driver.json",
        "stack-1.0.0/driver/lib",
        "stack-1.0.0/driver/lib/driver.so",
        "stack-1.0.0/program",
        "stack-1.0.0/program/program",
      ].sort(),
    );
    expect((await stat(join(cache, "stack-1.0.0/program/program"))).mode & 0o111).not.toBe(0);
    expect(seen.at(-1)).toEqual([tarball.length, tarball.length]);
  });

  it("uses a cached copy without any network", async () => {
    const first = await fetchStack();
    const onProgress = () => expect.unreachable("nothing is downloaded");
    expect(await fetchStack({ resolve: noNetwork, onProgress })).toEqual(first);
    expect(requests).toBe(1);
  });

  it("downloads only what the cache lacks", async () => {
    await fetchStack({ members: ["driver.tar.br"] });
    await fetchStack({ members: ["driver.tar.br"], resolve: noNetwork });
    await fetchStack();
    expect(requests).toBe(2);
  });

  it("replaces a copy that has been damaged", async () => {
    const { "driver.tar.br": driver = "" } = await fetchStack();
    await writeFile(join(driver, "lib", "driver.so"), "something else");
    await fetchStack();
    expect(await readFile(join(driver, "lib", "driver.so"), "utf8")).toMatch(/^a driver/);
    expect((await readdir(cache)).sort()).toEqual(["stack-1.0.0"]);
  });

  it("refuses a tampered tarball of the right length and leaves nothing of it", async () => {
    served = Buffer.from(tarball);
    served[served.length >> 1]! ^= 1;
    await expect(fetchStack()).rejects.toMatchObject({ code: "invalid_file", where: "@example/stack@1.0.0" });
    expect(await leftBehind()).toEqual([]);
  });

  it("refuses a registry that announces another integrity, before downloading", async () => {
    const other: Resolve = async () => ({ tarball: url, integrity: "sha512-other" });
    await expect(fetchStack({ resolve: other })).rejects.toMatchObject({ code: "invalid_file" });
    expect(requests).toBe(0);
  });

  it("refuses a member that does not unpack to the pinned bytes", async () => {
    const wrong = { ...pkg, members: { "program.br": { program: "0".repeat(64) } } };
    await expect(fetchStack({ members: ["program.br"], pkg: wrong })).rejects.toThrow(/pinned program/);
    expect(await leftBehind()).toEqual([]);
  });

  it.each([
    ["short", () => tarball.subarray(0, -100), /ended at/],
    ["long", () => Buffer.concat([tarball, tarball]), /longer than/],
  ])("says so when a download is too %s, and leaves nothing", async (_, bytes, message) => {
    served = bytes();
    await expect(fetchStack()).rejects.toThrow(message);
    expect(await leftBehind()).toEqual([]);
  });

  it("says why when it is offline", async () => {
    const offline: Resolve = async () => ({
      tarball: "http://127.0.0.1:9/package.tgz",
      integrity: undefined,
    });
    await expect(fetchStack({ resolve: offline })).rejects.toMatchObject({
      code: "no_adapter",
      message: expect.stringMatching(/could not be downloaded.*npm/),
    });
  });

  it("says so when npm is missing", async () => {
    const path = process.env.PATH;
    process.env.PATH = folder;
    try {
      await expect(fetchStack({ resolve: undefined })).rejects.toThrow(/npm was not found on the PATH/);
    } finally {
      process.env.PATH = path;
    }
  });

  it("names the folder when the cache cannot be made", async () => {
    const file = join(folder, `file-${randomUUID()}`);
    await writeFile(file, "");
    await expect(fetchStack({ env: { RESONANT_CACHE: join(file, "cache") } })).rejects.toMatchObject({
      code: "no_adapter",
      message: expect.stringContaining(file),
    });
  });

  it("names a member the tarball lacks or the package does not pin", async () => {
    await expect(fetchStack({ members: ["absent.br"] })).rejects.toThrow(/absent\.br/);
    await expect(fetchStack({ members: ["unwanted.br"] })).rejects.toMatchObject({
      code: "invalid_argument",
    });
  });

  it("falls back to the temp folder when the home folder cannot be written", async () => {
    const file = join(folder, `file-${randomUUID()}`);
    await writeFile(file, "");
    const before = process.env.TMPDIR;
    process.env.TMPDIR = folder;
    try {
      const { "program.br": program = "" } = await fetchStack({
        members: ["program.br"],
        env: { HOME: file },
      });
      expect(program).toBe(join(folder, `resonant-${process.getuid?.()}`, "stack-1.0.0", "program"));
    } finally {
      if (before === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = before;
    }
  });

  it("clears what a killed process left a day ago, and leaves a living one's", async () => {
    await mkdir(join(cache, ".unpacking-old"), { recursive: true });
    await mkdir(join(cache, ".unpacking-new"));
    await utimes(join(cache, ".unpacking-old"), 1, 1);
    await fetchStack();
    expect((await readdir(cache)).sort()).toEqual([".unpacking-new", "stack-1.0.0"]);
  });

  it("serves several fetches at once in one process", async () => {
    const all = await Promise.all([fetchStack(), fetchStack(), fetchStack()]);
    expect(new Set(all.map((folders) => JSON.stringify(folders))).size).toBe(1);
    expect(await readdir(cache)).toEqual(["stack-1.0.0"]);
  });

  it("serves two processes at once", async () => {
    const script = join(folder, "fetch.mjs");
    await build({
      stdin: {
        resolveDir: import.meta.dirname,
        contents: `import { fetchSoftwareStack } from "./software-stack.ts";
          process.on("message", async ({ url, ...options }) => {
            const resolve = async (pkg) => ({ tarball: url, integrity: pkg.integrity });
            process.send(await fetchSoftwareStack({ ...options, resolve }).catch((error) => error.message));
            process.disconnect();
          });`,
      },
      bundle: true,
      platform: "node",
      format: "esm",
      outfile: script,
      banner: {
        js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
      },
    });
    const run = () =>
      new Promise((done, failed) => {
        const child = fork(script);
        child.once("message", done).once("error", failed);
        child.send({ members, pkg, url, env: { RESONANT_CACHE: cache } });
      });
    const [a, b] = await Promise.all([run(), run()]);
    expect(a).toEqual({
      "driver.tar.br": join(cache, "stack-1.0.0", "driver"),
      "program.br": join(cache, "stack-1.0.0", "program"),
    });
    expect(b).toEqual(a);
    expect(await readdir(cache)).toEqual(["stack-1.0.0"]);
  });
});

describe("npm", () => {
  it("still offers the pinned tarball under the pinned integrity", async () => {
    const { softwarePackage } = await import("./software-package.ts");
    const { resolveWithNpm } = await import("./npm-tarball.ts");
    expect((await resolveWithNpm(softwarePackage)).integrity).toBe(softwarePackage.integrity);
  });
});
