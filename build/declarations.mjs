// The declarations of the library's two entries, in dist/types: one file each, and one of what both share.
//
// Where WebGPU's own types come from depends on the reader's compiler. Since TypeScript 6 they are part of the DOM's and the
// web worker's libraries, and @webgpu/types beside them declares everything twice. Before, they are @webgpu/types alone. So
// `exports` in package.json gives `node.d.ts` and `browser.d.ts` to TypeScript 6 and newer, and `typescript-5/` to older ones.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const dom = '/// <reference lib="dom" />\n';
const webgpu = '/// <reference types="@webgpu/types" />\n';
// @webgpu/types names it, and a worker's library does not have it. Where the DOM's is there, the two are one.
const image = "declare global {\n  interface HTMLImageElement {}\n}\n";

/** Needs the development dependencies: TypeScript, Rolldown and its plugin. */
export async function buildDeclarations() {
  const { rolldown } = await import("rolldown");
  const { dts } = await import("rolldown-plugin-dts");
  const compiler = join("node_modules", "typescript", "bin", "tsc");
  const rooms = ["engine/platform/node", "engine/platform/browser"];
  execFileSync(process.execPath, [compiler, "-b", ...rooms], { stdio: "inherit" });
  const emitted = resolve(".types");
  const bundle = await rolldown({
    cwd: emitted,
    checks: { pluginTimings: false },
    input: {
      node: join(emitted, "engine/platform/node/index.d.ts"),
      browser: join(emitted, "engine/platform/browser/index.d.ts"),
    },
    external: /^(?![./])(?!.:)/,
    plugins: [dts({ dtsInput: true })],
  });
  await bundle.write({
    dir: resolve("dist/types"),
    chunkFileNames: "shared.d.ts",
    // @webgpu/types is written against the DOM's types, in Node too. The browser's entry is left to its reader, since
    // the DOM's library and a worker's exclude each other.
    banner: ({ name }) => (name === "node" ? dom : ""),
  });
  await bundle.close();
  mkdirSync("dist/types/typescript-5");
  for (const entry of ["node", "browser"]) {
    const text = `${webgpu}export * from "../${entry}.js";\n${entry === "browser" ? image : ""}`;
    writeFileSync(`dist/types/typescript-5/${entry}.d.ts`, text);
  }
}
