import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { repositoryFiles, root } from "./repository.ts";

const SPECIFICATION = "docs/specification.md";

/** Returns the section of every heading: `## 1. …`, `### 1.2 …`, `## A. …`. */
const sectionsOf = (specification: string): string[] =>
  Array.from(specification.matchAll(/^#{2,4} ([0-9A-Z](?:\.\d+)*)\.? /gm), ([, section]) => section!);

/** Returns the sections that a text refers to; undefined for a reference without a section. A line break may separate them. */
const referencesOf = (text: string): (string | undefined)[] =>
  Array.from(text.matchAll(/\bSPEC\b(?:[\s*/#>]*§([0-9A-Z]+(?:\.\d+)*))?/g), ([, section]) => section);

/** Returns the references whose section does not exist. */
const astray = (text: string, sections: ReadonlySet<string>): string[] =>
  referencesOf(text).flatMap((section) =>
    section !== undefined && sections.has(section) ? [] : [`SPEC §${section ?? " of no section"}`],
  );

const specification = await readFile(join(root, SPECIFICATION), "utf8");
const sections = new Set(sectionsOf(specification));

describe("a reference to the specification", () => {
  it("names a section that exists, in every source and page", async () => {
    const files = await repositoryFiles([".ts", ".tsx", ".wgsl", ".mjs", ".md"]);
    const found: string[] = [];
    let references = 0;
    for (const file of files) {
      if (file === "test/specification.test.ts") continue; // which contains invented references
      const text = await readFile(join(root, file), "utf8");
      references += referencesOf(text).length;
      found.push(...astray(text, sections).map((reference) => `${file}: ${reference}`));
    }
    expect(found).toEqual([]);
    expect(references).toBeGreaterThan(30);
  });

  it("is reported if its section does not exist, or is left out", () => {
    const text =
      "by SPEC §1.1, SPEC §2.9 and\n * SPEC\n * §77; SPEC §A. Not SPEC, appendix; SPECIAL is none.";
    expect(astray(text, sections)).toEqual(["SPEC §2.9", "SPEC §77", "SPEC § of no section"]);
  });
});

describe("the specification", () => {
  it("has an anchor for every section that does not depend on its title", () => {
    const anchored = Array.from(
      specification.matchAll(/^<a id="spec-([^"]+)"><\/a>\n#{2,4} ([0-9A-Z](?:\.\d+)*)/gm),
      ([, anchor, section]) => {
        expect(anchor).toBe(section);
        return section;
      },
    );
    expect(anchored).toEqual([...sections]);
  });

  it("has each section once, in order", () => {
    const all = sectionsOf(specification);
    expect(all).toEqual([...new Set(all)].sort((a, b) => a.localeCompare(b, "en", { numeric: true })));
    expect(all.length).toBeGreaterThan(30);
  });
});
