import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, posix, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import packageJson from "../package.json" with { type: "json" };

const root = fileURLToPath(new URL("..", import.meta.url));

/** Each room, and the rooms that it may import. */
const rooms: Readonly<Record<string, readonly string[]>> = {
  common: [],
  kernels: ["common"],
  weights: ["common"],
  "weights/node": ["common", "weights"],
  engine: ["common", "kernels", "weights"],
  "engine/platform/node": ["common", "kernels", "weights", "weights/node", "engine"],
  "engine/platform/browser": ["common", "kernels", "weights", "engine"],
  api: ["common", "kernels", "weights", "weights/node", "engine", "engine/platform/node"],
  bench: ["common", "kernels", "weights", "weights/node", "engine", "engine/platform/node"],
  demo: ["common", "engine", "engine/platform/browser"],
  cli: ["common", "kernels", "weights", "weights/node", "engine", "engine/platform/node", "api", "bench"],
  examples: [],
};

/** Places to import from: the rooms, and the folder between the engine and its platforms, which is the engine's. */
const places: Readonly<Record<string, readonly string[]>> = { ...rooms, "engine/platform": rooms.engine! };

/** Where only tests may import from. */
const testRooms = ["test", "engine/testing"];

/** Runs a program in a folder; returns its output, whether or not it succeeds. */
const run = (cwd: string, program: string, args: readonly string[]): Promise<string> =>
  new Promise((resolve, reject) => {
    execFile(program, args, { cwd, maxBuffer: 2 ** 26 }, (error, out) => {
      if (error && typeof error.code !== "number") reject(error);
      else resolve(out);
    });
  });

/** Returns the path of a package's program. */
const bin = (name: string): string => join(root, "node_modules/.bin", name);

async function sources(): Promise<string[]> {
  const out = await run(root, "git", ["ls-files", "--cached", "--others", "--exclude-standard"]);
  return out.split("\n").filter((file) => /\.(tsx?|mjs|wgsl)$|(^|\/)tsconfig[\w.]*\.json$/.test(file));
}

let copy: string;

/** Copies the sources and the files that `npm run lint` reads, so that a test can break rules. */
beforeAll(async () => {
  copy = await mkdtemp(join(tmpdir(), "resonant-layers-"));
  for (const file of [...(await sources()), "biome.json", "package.json", ".gitignore"]) {
    await mkdir(join(copy, dirname(file)), { recursive: true });
    await cp(join(root, file), join(copy, file)).catch(() => undefined); // removed, but not yet committed
  }
});

afterAll(() => rm(copy, { recursive: true, force: true }));

async function write(file: string, text: string): Promise<void> {
  await mkdir(join(copy, dirname(file)), { recursive: true });
  await writeFile(join(copy, file), text);
}

const append = async (file: string, text: string): Promise<void> =>
  writeFile(join(copy, file), `${await readFile(join(copy, file), "utf8")}${text}\n`);

/** Returns the broken rules that the linter reports, by file, one for each line. */
async function lint(folders: readonly string[]): Promise<Map<string, string[]>> {
  const parts = ["--formatter-enabled=false", "--assist-enabled=false"];
  const args = ["ci", "--reporter=github", "--max-diagnostics=none", ...parts, ...folders];
  const out = await run(copy, bin("biome"), args);
  const errors = [...out.matchAll(/^::error title=([\w/]+),file=([^,]+),line=(\d+)/gm)];
  const found = new Map<string, string[]>();
  for (const error of new Set(errors.map(([, rule, path, line]) => `${rule} ${path} ${line}`))) {
    const [rule, path] = error.split(" ");
    const file = relative(copy, resolve(copy, path!));
    found.set(file, [...(found.get(file) ?? []), rule!]);
  }
  return found;
}

it("is checked by `npm run lint`", () => {
  expect(packageJson.scripts.lint).toBe("biome ci . && tsc -b");
});

it("matches CONTRIBUTING.md", async () => {
  const text = await readFile(join(root, "CONTRIBUTING.md"), "utf8");
  const named = (cell: string): string[] => [...cell.matchAll(/`([\w/]+)\/`/g)].map(([, room]) => room!);
  const table = [...text.matchAll(/^\| `([\w/]+)\/` \| ([^|]*) \| [^|]* \|$/gm)];
  expect(Object.fromEntries(table.map(([, room, below]) => [room, named(below!)]))).toEqual(rooms);
});

it("has every source in a room, or in test/", async () => {
  const folders = new Set(
    (await sources()).filter((file) => /\.tsx?$/.test(file)).map((file) => file.split("/")[0]),
  );
  expect([...folders].sort()).toEqual(
    [...Object.keys(rooms).filter((room) => !room.includes("/")), "test", "vitest.config.ts"].sort(),
  );
});

it.each(Object.entries(rooms))("tells the compiler which rooms %s may import", async (room, others) => {
  const text = await readFile(join(root, room, "tsconfig.json"), "utf8");
  const { references = [] } = JSON.parse(text) as { references?: { path: string }[] };
  expect(references.map(({ path }) => posix.join(room, path)).sort()).toEqual([...others].sort());
  const { references: all } = JSON.parse(
    (await readFile(join(root, "tsconfig.json"), "utf8")).replace(/^ *\/\/.*$/gm, ""),
  ) as { references: { path: string }[] };
  expect(all).toContainEqual({ path: `./${room}` });
});

describe("an import of another room", () => {
  let found: Map<string, string[]>;
  const probe = (from: string, to: string): string => `${from}/probes/imports-${to.replaceAll("/", "-")}.ts`;

  beforeAll(async () => {
    const targets = [...Object.keys(rooms), ...testRooms];
    for (const to of targets) await write(`${to}/probes/target.ts`, "export type Target = string;\n");
    for (const from of Object.keys(places)) {
      for (const to of targets) {
        const path = posix.relative(`${from}/probes`, `${to}/probes/target.ts`);
        const named = path.startsWith(".") ? path : `./${path}`;
        await write(
          probe(from, to),
          `export type { Target } from "${named}";\nexport const load = () => import("${named}");\n`,
        );
      }
    }
    found = await lint(Object.keys(places).map((from) => `${from}/probes`));
  });

  it.each(Object.entries(places))(
    "in %s breaks a rule unless the room is below; also type imports and dynamic imports",
    (from, below) => {
      const rule = "lint/style/noRestrictedImports";
      for (const to of Object.keys(rooms)) {
        const allowed = to === from || below.includes(to) || (from === "engine/platform" && to === "engine");
        expect(found.get(probe(from, to)) ?? [], `${from} imports ${to}`).toEqual(
          allowed ? [] : [rule, rule],
        );
      }
      for (const to of testRooms) {
        expect(found.get(probe(from, to)), `${from} imports ${to}`).toEqual([rule, rule]);
      }
    },
  );
});

describe("a broken rule", () => {
  let found: Map<string, string[]>;
  let types: string;

  beforeAll(async () => {
    await append("engine/config.ts", 'import "node:fs";');
    await append("engine/metrics.ts", "export const title = (): string => document.title;");
    await append("engine/phase.ts", "export const folder = (): string => process.cwd();");
    await append("kernels/add/add.ts", 'export type { Settings } from "../../api/settings.ts";');
    for (const room of Object.keys(rooms)) {
      for (const [one, other] of ["ab", "ba"]) {
        await write(
          `${room}/probes/cycle-${one}.ts`,
          `import type { ${other!.toUpperCase()} } from "./cycle-${other}.ts";\n` +
            `export interface ${one!.toUpperCase()} { readonly other?: ${other!.toUpperCase()} }\n`,
        );
      }
    }
    found = await lint(["engine", "kernels", ...Object.keys(rooms).map((room) => `${room}/probes`)]);
    await symlink(join(root, "node_modules"), join(copy, "node_modules"));
    types = await run(copy, bin("tsc"), ["-b", "--pretty", "false", "engine"]);
  });

  it("is named if the engine imports a module of Node, which the compiler does not find either", () => {
    expect(found.get("engine/config.ts")).toEqual(["lint/correctness/noNodejsModules"]);
    expect(types).toMatch(/^engine\/config\.ts.*error TS\d+: Cannot find .*node:fs/m);
  });

  it.each([
    ["document", "engine/metrics.ts"],
    ["process", "engine/phase.ts"],
  ])("is named if the engine uses %s, which the compiler does not find either", (name, file) => {
    expect(found.get(file)).toEqual(["lint/style/noRestrictedGlobals"]);
    expect(types).toMatch(new RegExp(`^${file}.*error TS\\d+: Cannot find name '${name}'`, "m"));
  });

  it("is named if a kernel imports the server, which the compiler refuses, too", () => {
    expect(found.get("kernels/add/add.ts")).toEqual(["lint/style/noRestrictedImports"]);
    expect(types).toMatch(/^kernels\/add\/add\.ts.*error TS6307: .*api\/settings\.ts/m);
  });

  it.each(Object.keys(rooms))("is named if %s has a type-only cycle", (room) => {
    for (const one of ["a", "b"]) {
      expect(found.get(`${room}/probes/cycle-${one}.ts`)).toEqual(["lint/suspicious/noImportCycles"]);
    }
  });
});
