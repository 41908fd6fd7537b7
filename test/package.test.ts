import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { extract } from "tar";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const run = promisify(execFile);

interface Packed {
  readonly filename: string;
  readonly size: number;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string; readonly size: number }[];
}

interface Manifest {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly exports: unknown;
}

/** A user's program that uses the library, in a page or in Node. */
const program = (entry: string, from: string) => `
import { collect, type GenerateOptions, loadModel, type Model, ResonantError } from "${entry}";

type IsAny<T> = 0 extends 1 & T ? true : false;
type IsSame<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

export const model: Model = await loadModel(${from});
export const isAny: IsAny<typeof model.gpu.device> = false;
export const isDevice: IsSame<typeof model.gpu.device, GPUDevice> = true;
export const limit: number = model.gpu.device.limits.maxBufferSize;

const options: GenerateOptions = { signal: new AbortController().signal };
try {
  const { text } = await collect(model.generate(await model.encode("ROMEO:"), options));
  console.log(text.toUpperCase());
} catch (error) {
  if (error instanceof ResonantError) console.log(error.code, error.fix);
}
`;

const compilers = { "5.9": "typescript-5.9", "7": "typescript" } as const;
const resolutions = [
  { module: "node16", moduleResolution: "node16" },
  { module: "esnext", moduleResolution: "bundler" },
] as const;
const readers = [
  { file: "node.ts", lib: ["ES2023"], types: ["node"] },
  { file: "node.ts", lib: ["ES2023", "DOM"], types: ["node"] },
  { file: "browser.ts", lib: ["ES2023", "DOM"], types: [] },
  { file: "browser.ts", lib: ["ES2023", "WebWorker"], types: [] },
] as const;

let scratch: string;
let consumer: string;
let packed: Packed;
let manifest: Manifest;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "resonant-package-"));
  manifest = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
  const pack = ["pack", "--json", "--ignore-scripts", "--pack-destination", scratch];
  [packed] = JSON.parse((await run("npm", pack, { cwd: root, shell: process.platform === "win32" })).stdout);
  consumer = await makeConsumer("consumer", [
    ...Object.keys(manifest.dependencies),
    "@types/node",
    "undici-types",
  ]);
});

afterAll(() => rm(scratch, { recursive: true, force: true }));

describe("the package", () => {
  it("contains the bundles, their declarations and licences, and the default model once", () => {
    const paths = packed.files.map(({ path }) => path);
    const sizes = packed.files.map(({ path, size }) => `${String(size).padStart(10)} ${path}`);
    console.log([...sizes, `${packed.size} packed, ${packed.unpackedSize} unpacked`].join("\n"));

    const kinds = [
      /^(LICENSE|README\.md|package\.json)$/,
      /^weights\/shakespeare\/[\w.]+$/,
      /^dist\/[\w-]+\.js(\.map)?$/,
      /^dist\/types\/(typescript-5\/)?(node|browser|shared)\.d\.ts$/,
      /^dist\/docs\/[\w.-]+\.(css|js|svg|txt)$/,
      /^dist\/demo\/(index\.html|assets\/[\w-]+\.(css|js|svg))(\.br|\.gz)?$/,
      /^dist\/(demo\/)?LICENSES\.txt$/,
    ];
    expect(paths.filter((path) => !kinds.some((kind) => kind.test(path)))).toEqual([]);
    expect(paths.filter((path) => path.endsWith(".safetensors"))).toEqual([
      "weights/shakespeare/model.safetensors",
    ]);
    expect(paths.filter((path) => path.endsWith(".d.ts"))).toHaveLength(5);
    expect(paths.length).toBeLessThan(200);
    for (const path of ["dist/cli.js", "dist/node.js", "dist/browser.js", "dist/demo/index.html"]) {
      expect(paths).toContain(path);
    }
  });

  it("has source maps that contain their own sources, but none of a dependency", async () => {
    const installed = join(consumer, "node_modules/resonant/dist");
    const maps = (await readdir(installed)).filter((file) => file.endsWith(".js.map"));
    expect(maps).toContain("cli.js.map");
    for (const file of maps) {
      const map = JSON.parse(await readFile(join(installed, file), "utf8"));
      expect(map.sourcesContent ?? [], file).toHaveLength(map.sources.length);
      expect(map.sources.filter((source: string) => source.includes("node_modules"))).toEqual([]);
    }
  });

  it("refers to existing files under every condition of its exports", () => {
    const targets = (value: unknown): string[] =>
      typeof value === "string" ? [value] : Object.values(value as object).flatMap(targets);
    for (const target of targets(manifest.exports)) {
      expect(existsSync(join(consumer, "node_modules/resonant", target)), target).toBe(true);
    }
  });

  it("names the licence of each package whose code is in the page", async () => {
    const text = await readFile(join(consumer, "node_modules/resonant/dist/demo/LICENSES.txt"), "utf8");
    // What the page and its workers import by name, and what those bring along.
    for (const name of [
      "@huggingface/jinja",
      "@huggingface/tokenizers",
      "@preact/signals",
      "@preact/signals-core",
      "comlink",
      "file-selector",
      "preact",
    ]) {
      expect(text).toMatch(new RegExp(`^${name} \\d\\S* \\((MIT|Apache-2\\.0)\\)$`, "m"));
    }
  });

  it("names the licence of each package whose code is in the libraries and the command line", async () => {
    const text = await readFile(join(consumer, "node_modules/resonant/dist/LICENSES.txt"), "utf8");
    expect([...text.matchAll(/^(\S+) \d\S* \((?:MIT|Apache-2\.0)\)$/gm)].map(([, name]) => name)).toEqual([
      "@huggingface/jinja",
      "@huggingface/tokenizers",
    ]);
  });

  it("names each package inside Swagger UI and ReDoc", async () => {
    const text = await readFile(join(consumer, "node_modules/resonant/dist/docs/LICENSES.txt"), "utf8");
    const maps = ["swagger-ui-dist/swagger-ui-bundle.js.map", "redoc/bundles/redoc.standalone.js.map"];
    const names = new Set<string>();
    for (const map of maps) {
      const { sources } = JSON.parse(await readFile(join(root, "node_modules", map), "utf8"));
      for (const source of sources as string[]) {
        const [, name] = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(source) ?? [];
        if (name) names.add(name);
      }
    }
    expect(names.size).toBeGreaterThan(100);
    const lines = new Set(text.split("\n").map((line) => line.split(" ")[0]));
    expect([...names].filter((name) => !lines.has(name))).toEqual([]);
  });
});

describe("a program that installs the package", () => {
  it("loads both libraries, the manifest and the command line", async () => {
    const script = `
      import { createRequire } from "node:module";
      const node = await import("resonant");
      const browser = await import("resonant/browser");
      const { version } = createRequire(import.meta.url)("resonant/package.json");
      console.log(JSON.stringify({ node: typeof node.loadModel, browser: typeof browser.loadModel, version }));`;
    const { stdout } = await run(process.execPath, ["--input-type=module", "--eval", script], {
      cwd: consumer,
    });
    expect(JSON.parse(stdout)).toEqual({ node: "function", browser: "function", version: manifest.version });

    const cli = join(consumer, "node_modules/resonant/dist/cli.js");
    expect((await run(process.execPath, [cli, "--version"])).stdout.trim()).toBe(manifest.version);
  });

  for (const [version, compiler] of Object.entries(compilers)) {
    for (const resolution of resolutions) {
      const how = `TypeScript ${version}, ${resolution.moduleResolution} resolution`;
      it(`compiles with ${how}, its declarations checked, for Node, a page and a worker`, async () => {
        for (const reader of readers) {
          // What passes these checks passes with `skipLibCheck: true`, which leaves out some. The compiler's own libraries take
          // most of the time, and are not ours to check.
          const options = { ...resolution, skipLibCheck: false, skipDefaultLibCheck: true };
          const errors = await compile(consumer, compiler, options, reader);
          expect(errors, `${reader.file} with ${reader.lib.join(", ")}`).toBe("");
        }
      });
    }
  }

  it("does not compile without @webgpu/types, because the device has no type", async () => {
    const poor = await makeConsumer("poor", ["@types/node", "undici-types"]);
    const options = { ...resolutions[0], skipLibCheck: true };
    expect(await compile(poor, "typescript-5.9", options, readers[0])).toContain(
      "Cannot find name 'GPUDevice'",
    );
  });
});

/** Creates a project with the packed package and some of our dependencies in node_modules; returns its folder. */
async function makeConsumer(name: string, dependencies: readonly string[]): Promise<string> {
  const folder = join(scratch, name);
  const installed = join(folder, "node_modules/resonant");
  await mkdir(installed, { recursive: true });
  await extract({ file: join(scratch, packed.filename), cwd: installed, strip: 1 });
  for (const dependency of dependencies) {
    const link = join(folder, "node_modules", dependency);
    await mkdir(dirname(link), { recursive: true });
    await symlink(resolve(root, "node_modules", dependency), link, "junction");
  }
  await writeFile(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
  await writeFile(join(folder, "node.ts"), program("resonant", '{ model: "folder" }'));
  await writeFile(join(folder, "browser.ts"), program("resonant/browser", '"https://localhost/model/"'));
  return folder;
}

/** Compiles a program; returns the compiler's output, empty without errors. */
async function compile(
  folder: string,
  compiler: string,
  options: object,
  { file, lib, types }: (typeof readers)[number],
): Promise<string> {
  const compilerOptions = {
    ...options,
    lib,
    types,
    target: "es2023",
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    noEmit: true,
    pretty: false,
  };
  const project = join(folder, "tsconfig.json");
  await writeFile(project, JSON.stringify({ compilerOptions, files: [file] }));
  const tsc = join(root, "node_modules", compiler, "bin/tsc");
  return run(process.execPath, [tsc, "-p", project]).then(
    ({ stdout }) => stdout,
    (error: { stdout: string; message: string }) => error.stdout || error.message,
  );
}
