import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { short } from "./short.mjs";
import { unroll } from "./unroll.ts";

const folder = fileURLToPath(new URL(".", import.meta.url));
const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) =>
  /\.wgsl$/.test(file),
);

/** What a compiler sees of the text. */
const tokens = (wgsl: string): string[] =>
  wgsl
    .replace(/\/\/.*$/gm, "")
    .split(/\s+/)
    .filter((token) => token !== "");

describe("shortened WGSL", () => {
  it.each(files)("says in %s what the source says, in fewer characters", (file) => {
    const source = readFileSync(folder + file, "utf8");
    const shortened = short(source);
    expect(tokens(shortened)).toEqual(tokens(source));
    expect(shortened.match(/\/\/ (for|end).*/g)).toEqual(source.match(/\/\/ (for \w+ <.*|end)$/gm));
    expect(shortened.length).toBeLessThan(source.length);
  });

  it("keeps what is unrolled", () => {
    const source = "// sums\nfn f() {\n  // for k < N\n  a$k += 1; // one\n  // end\n}\n";
    const sizes = { N: 2 };
    expect(tokens(unroll(short(source), sizes))).toEqual(tokens(unroll(source, sizes)));
  });
});
