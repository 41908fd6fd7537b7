import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Kernel } from "../kernels/kernel.ts";
import { type Catalogue, makeCatalogue } from "./catalogue/catalogue.ts";
import type { Compiled, ToCompile } from "./deno/compile.ts";
import { lackingDeno, runInDeno } from "./deno/deno.ts";
import { findProgram } from "./processes.ts";

const kernelsFolder = join(import.meta.dirname, "../kernels");
const run = promisify(execFile);

let folder: string;
let catalogue: Catalogue;
let kernels: readonly ToCompile[];

const sum = (counts: readonly number[]): number => counts.reduce((all, count) => all + count, 0);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "resonant-naga-"));
  // Also those that no model imports.
  const sources = (await filesOf(kernelsFolder, ".ts")).filter((path) => !/\.(test|d)\.ts$/.test(path));
  await Promise.all(sources.map((path) => import(join(kernelsFolder, path))));
  catalogue = await makeCatalogue();
  kernels = [...catalogue].map(([{ name, code }, sets]) => ({
    name,
    code,
    sets: [...sets.values()].map((set) =>
      Object.fromEntries(Object.entries(set).map(([override, value]) => [override, Number(value)])),
    ),
  }));
}, 600_000);

afterAll(() => rm(folder, { recursive: true }));

const filesOf = async (folder: string, end: string): Promise<string[]> =>
  (await readdir(folder, { recursive: true })).filter((path) => path.endsWith(end));

describe("the catalogue of kernels", () => {
  it("has every kernel that the engine makes, with overrides that a model asks for", async () => {
    expect(Kernel.all.filter((kernel) => !catalogue.has(kernel)).map(({ name }) => name)).toEqual([]);
    console.log(
      `${catalogue.size} kernels, ${sum(kernels.map(({ sets }) => sets.length))} sets of overrides`,
    );
  });

  it("has every WGSL file of kernels/ in one of them", async () => {
    const missed: string[] = [];
    for (const path of await filesOf(kernelsFolder, ".wgsl")) {
      const [first = ""] = (await readFile(join(kernelsFolder, path), "utf8")).split("\n", 1);
      if (!kernels.some(({ code }) => code.includes(first))) missed.push(path);
    }
    expect(missed).toEqual([]);
  });
});

describe(`naga, the compiler of Firefox and Deno${lackingDeno}`, () => {
  it.skipIf(lackingDeno !== "")(
    "compiles every kernel on default limits",
    { timeout: 900_000 },
    async ({ skip }) => {
      const file = join(folder, "kernels.json");
      await writeFile(file, JSON.stringify(kernels));
      const { adapter, modules, pipelines, needMore, errors } = await runInDeno<Compiled>(
        "compile.ts",
        [file],
        folder,
      );
      if (adapter === null)
        return skip("Deno finds no adapter: it needs libvulkan1 and a driver of the system");
      const lanes = needMore.length > 0 ? `; ${needMore.length} need subgroups, which it lacks` : "";
      console.log(`Deno on ${adapter}: ${modules} modules, ${pipelines} pipelines${lanes}`);
      expect(errors).toEqual([]);
      expect(modules + needMore.length).toBe(kernels.length);
      // Twins by lanes are for implementations with subgroups; all others have to be there.
      expect(needMore.filter((name) => !name.includes("-lanes"))).toEqual([]);
    },
  );
});

const naga = findProgram("naga");
const lackingNaga = naga ? "" : " (skipped: naga-cli is not on the PATH)";

describe(`naga's other back ends${lackingNaga}`, () => {
  it.skipIf(!naga)("translate every kernel to SPIR-V, MSL and HLSL", { timeout: 900_000 }, async () => {
    const work = kernels.flatMap(({ name, code, sets }) => sets.map((set) => ({ name, code, set })));
    const total = 3 * work.length;
    const errors: string[] = [];
    let translated = 0;
    const worker = async (index: number): Promise<void> => {
      const from = join(folder, `${index}.wgsl`);
      const into = ["spv", "metal", "hlsl"].map((ending) => join(folder, `${index}.${ending}`));
      for (let next = work.pop(); next; next = work.pop()) {
        const { name, code, set } = next;
        // It knows subgroups, but not yet the line that asks for them.
        await writeFile(from, code.replace(/^enable subgroups;\n/, ""));
        const overrides = Object.entries(set).flatMap(([override, value]) => [
          "--override",
          `${override}=${value}`,
        ]);
        const versions = ["--shader-model", "60", "--metal-version", "2.4"];
        await run(naga!, ["--capabilities", "all", ...versions, ...overrides, from, ...into]).catch(
          ({ stderr }: { stderr: string }) => errors.push(`${name} ${JSON.stringify(set)}: ${stderr}`),
        );
        for (const file of into) {
          if ((await readFile(file).catch(() => "")).length > 0) translated++;
          await rm(file, { force: true });
        }
      }
    };
    await Promise.all(Array.from({ length: availableParallelism() }, (_, index) => worker(index)));
    console.log(`naga-cli: ${kernels.length} kernels, ${translated} translations`);
    expect(errors).toEqual([]);
    expect(translated).toBe(total);
  });
});
