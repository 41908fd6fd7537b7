import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));

/** What a built file imports when it is loaded, and what it may load later, beside it in dist/. */
function importsOf(file: string): { readonly now: string[]; readonly later: string[] } {
  const text = readFileSync(join(root, "dist", file), "utf8");
  const names = (pattern: RegExp): string[] => [...text.matchAll(pattern)].map(([, name]) => name!);
  return {
    now: names(/\b(?:import|from) ?"\.\/([\w.-]+\.js)"/g),
    later: names(/\bimport\("\.\/([\w.-]+\.js)"\)/g),
  };
}

/** Returns the sources of a built file. */
function sourcesOf(file: string): string[] {
  const { sources } = JSON.parse(readFileSync(join(root, "dist", `${file}.map`), "utf8")) as {
    sources: string[];
  };
  return sources.map((source) => relative(root, join(root, "dist", source)));
}

/** Returns these files of dist/ and all files that they load. */
function loadedBy(files: readonly string[], late: boolean): string[] {
  const all = new Set(files);
  for (const file of all) {
    const { now, later } = importsOf(file);
    for (const name of late ? [...now, ...later] : now) all.add(name);
  }
  return [...all];
}

const folders = (files: readonly string[]): Set<string> =>
  new Set(files.flatMap(sourcesOf).map((source) => source.split("/")[0]!));

/** Returns the file of a command, which the command line loads on demand. */
function fileOf(command: string): string {
  const file = importsOf("cli.js").later.find((name) =>
    sourcesOf(name).includes(`cli/commands/${command}.ts`),
  );
  if (file) return file;
  throw new Error(`cli.js loads no ${command} later`);
}

it("`resonant serve` never loads anything from bench/, not even on demand", () => {
  const serve = loadedBy([...loadedBy(["cli.js"], false), fileOf("serve")], false);
  const all = [...serve, ...loadedBy([fileOf("serve")], true)];
  expect(folders(all)).toContain("api");
  expect(folders(all)).not.toContain("bench");
});

it("`resonant bench` loads bench/", () => {
  expect(folders(loadedBy([fileOf("bench")], false))).toContain("bench");
});

it.each(["node.js", "browser.js"])("the library %s contains no source above the engine", (entry) => {
  const own = [...folders(loadedBy([entry], true))].filter((folder) => folder !== "node_modules");
  expect(own.sort()).toEqual(
    ["common", "engine", "kernels", "weights", ...(entry === "node.js" ? ["package.json"] : [])].sort(),
  );
});
