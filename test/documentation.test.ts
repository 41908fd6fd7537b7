import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join, normalize } from "node:path";
import { describe, expect, it } from "vitest";
import { settingNames } from "../api/settings.ts";
import { anchorsOf, linksOf, pathsOf } from "./markdown.ts";
import { repositoryFiles, root } from "./repository.ts";

const read = (path: string): Promise<string> => readFile(join(root, path), "utf8");
const pages = new Map<string, string>();
for (const page of await repositoryFiles([".md"])) pages.set(page, await read(page));

/** Returns the links of a page whose target is not in the repository. */
async function astray(page: string, text: string): Promise<string[]> {
  const found: string[] = [];
  for (const link of linksOf(text)) {
    if (/^[a-z]+:/i.test(link)) continue; // an external link
    const [path = "", anchor] = link.split("#");
    const target = path === "" ? page : normalize(join(dirname(page), decodeURI(path))).replaceAll("\\", "/");
    const there = !target.startsWith("..") && existsSync(join(root, target));
    const isPage = target.endsWith(".md");
    const anchors = there && isPage ? anchorsOf(target === page ? text : await read(target)) : new Set();
    const reached = there && (anchor === undefined || anchors.has(anchor));
    if (!reached) found.push(link);
  }
  return found;
}

describe("a link between pages", () => {
  it.each([...pages])("leads to a file and an anchor that exist: %s", async (page, text) => {
    expect(await astray(page, text)).toEqual([]);
  });

  it("is reported if its file or anchor does not exist", async () => {
    const text = [
      "[a](README.md) [b](no-such.md) ![c](docs/no-such.png) [d](docs/server.md#settings) [e](docs/server.md#no-such)",
      "[f](#here) [g](#nowhere) [h](https://example.com/no-such.md) `[i](no-such-code.md)` [j](../outside.md)",
      "```",
      "[k](no-such-fence.md)",
      "# Fenced",
      "```",
      "## Here!",
      "[l](#fenced)",
    ].join("\n");
    expect(await astray("README.md", text)).toEqual([
      "no-such.md",
      "docs/no-such.png",
      "docs/server.md#no-such",
      "#nowhere",
      "../outside.md",
      "#fenced",
    ]);
    expect([...anchorsOf(text)]).toEqual(["here"]);
  });
});

describe("a path that a page names", () => {
  const folders = "api bench cli common demo deploy docs engine examples kernels test weights".split(" ");

  it("exists, except in the changelog's history", () => {
    const missing = [...pages].flatMap(([page, text]) =>
      page === "CHANGELOG.md"
        ? []
        : pathsOf(text, folders)
            .filter((path) => !existsSync(join(root, path)))
            .map((path) => `${page}: ${path}`),
    );
    expect(missing).toEqual([]);
  });

  it("is found in a text, and a pattern is not", () => {
    const text =
      "`engine/forward.ts`, `dist/cli.js`, `bench/results/DATE-ADAPTER.json`, `kernels/lib/*.wgsl`, `docs/x`";
    expect(pathsOf(text, folders)).toEqual(["engine/forward.ts", "docs/x"]);
  });
});

describe("the README", () => {
  const readme = pages.get("README.md")!;
  const lines = readme.split("\n");

  it("has at most 200 lines", () => {
    expect(lines.length).toBeLessThanOrEqual(200);
  });

  it("begins with the command that writes a text and the one that runs all tests", () => {
    const commands = Array.from(readme.matchAll(/```sh\n([\s\S]*?)```/g), ([, block]) => block!.trim());
    expect(commands.slice(0, 2)).toEqual(['npm ci && npm run -s resonant -- generate "ROMEO:"', "npm test"]);
  });

  it("shows a picture on its first screen", () => {
    expect(lines.findIndex((line) => line.startsWith("!["))).toBeLessThan(25);
    expect(lines.some((line) => line.startsWith("!["))).toBe(true);
  });

  it("leads to every page of docs/", () => {
    const linked = new Set(linksOf(readme).map((link) => link.split("#")[0]));
    for (const page of pages.keys()) if (dirname(page) === "docs") expect(linked).toContain(page);
  });
});

describe("the manual", () => {
  it("names every setting of the server", () => {
    const text = `${pages.get("docs/server.md")}${pages.get("docs/command-line.md")}`;
    expect(settingNames.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
  });

  it("names every command", async () => {
    const text = pages.get("docs/command-line.md")!;
    const files = await readdir(join(root, "cli/commands"), { withFileTypes: true });
    const commands = files
      .filter((file) => file.isFile() && file.name.endsWith(".ts") && !file.name.endsWith(".test.ts"))
      .map(({ name }) => basename(name, ".ts"))
      .map((name) => (name === "needle" ? "eval needle" : name));
    expect(commands.length).toBeGreaterThan(10);
    expect(commands.filter((name) => !new RegExp(`^\\| \\[\`${name}[ \`]`, "m").test(text))).toEqual([]);
  });
});
