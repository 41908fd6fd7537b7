import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { root } from "./repository.ts";

const PAGE = "docs/architecture.md";
const page = await readFile(join(root, PAGE), "utf8");

interface Step {
  readonly file: string;
  /** A function or class, or `Class.method`. */
  readonly name: string;
}

/** Returns the steps that the page writes as `file: function`. */
const stepsOf = (text: string): Step[] =>
  Array.from(text.matchAll(/`([\w./-]+\.(?:tsx?|wgsl|mjs)): ([\w.#]+)`/g), ([, file, name]) => ({
    file: file!,
    name: name!,
  }));

const escaped = (name: string): string => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** Returns whether a source defines the name, at top level or as a method. */
function defines(source: string, name: string): boolean {
  const word = escaped(name);
  const declared = new RegExp(`\\b(class|function\\*?|const|interface|fn)\\s+${word}(?![\\w])`);
  const method = new RegExp(`^\\s+((async|static|readonly|get|private)\\s+)*\\*?${word}(<[^>]*>)?\\(`, "m");
  return declared.test(source) || method.test(source);
}

/** Returns the steps whose file or function does not exist. */
async function astray(text: string): Promise<string[]> {
  const found: string[] = [];
  for (const { file, name } of stepsOf(text)) {
    const path = join(root, file);
    const source = existsSync(path) ? await readFile(path, "utf8") : "";
    if (!name.split(".").every((part) => defines(source, part))) found.push(`${file}: ${name}`);
  }
  return found;
}

describe("the way of a request and of a token", () => {
  it("names only functions that exist", async () => {
    expect(await astray(page)).toEqual([]);
    expect(stepsOf(page).length).toBeGreaterThan(35);
  });

  it("is described for both, in both directions", () => {
    const ways = page.slice(page.indexOf("## The way of a request"), page.indexOf("## Who owns"));
    for (const part of [
      "api/server.ts",
      "api/sse.ts",
      "engine/scheduler/",
      "engine/runner/",
      "kernels/sample/",
    ]) {
      expect(ways).toContain(part);
    }
  });

  it("is reported as missing if a file, function or method does not exist", async () => {
    const text = [
      "`engine/forward.ts: decodeBlock`, `engine/no-such.ts: decodeBlock`, `engine/forward.ts: noSuch`,",
      "`api/service.ts: Service.generate`, `api/service.ts: Service.noSuch`, `engine/forward.ts: block`",
    ].join("\n");
    expect(await astray(text)).toEqual([
      "engine/no-such.ts: decodeBlock",
      "engine/forward.ts: noSuch",
      "api/service.ts: Service.noSuch",
      "engine/forward.ts: block",
    ]);
  });
});
