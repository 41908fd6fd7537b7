// Bundles the three entries (command line, Node library, browser library) into dist/, with WGSL inlined as text. If the
// development dependencies are installed, also builds the documentation pages' files, the browser page and declarations.
import { spawn } from "node:child_process";
import { chmodSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { buildDeclarations } from "./build/declarations.mjs";
import { buildDocs } from "./build/docs.mjs";
import { loadEsbuild } from "./build/esbuild.mjs";
import { isInstalled } from "./build/installed.mjs";
import { licencesOf, packageOf } from "./build/licences.mjs";
import { buildPage } from "./build/page.mjs";
import { programs } from "./build/program-text.mjs";
import { short } from "./kernels/short.mjs";

const { build, context } = await loadEsbuild();

rmSync("dist", { recursive: true, force: true });
/** Modules inside the bundles that are not our own: those of the threads' program. */
const foreign = new Set();
const shared = {
  bundle: true,
  format: "esm",
  target: "es2023",
  packages: "external",
  plugins: [
    programs(build, (modules) => {
      for (const each of modules) foreign.add(packageOf(each));
    }),
    {
      name: "wgsl-as-text",
      setup({ onLoad }) {
        onLoad({ filter: /\.wgsl$/ }, ({ path }) => ({
          contents: short(readFileSync(path, "utf8")),
          loader: "text",
          watchFiles: [path],
        }));
      },
    },
  ],
  // Names stay, for stack traces; white space is most of what a page would load for nothing.
  minifyWhitespace: true,
  minifySyntax: true,
  sourcemap: true,
  logLevel: "warning",
};
const forNode = {
  ...shared,
  entryPoints: { cli: "cli/main.ts", node: "engine/platform/node/index.ts" },
  platform: "node",
  splitting: true,
  outdir: "dist",
};
await build(forNode);
await build({
  ...shared,
  entryPoints: { browser: "engine/platform/browser/index.ts" },
  platform: "browser",
  splitting: true,
  outdir: "dist",
});
chmodSync("dist/cli.js", 0o755);
foreign.delete(undefined);
writeFileSync("dist/LICENSES.txt", licencesOf(foreign));

const parts = [
  {
    name: "the documentation pages",
    needs: ["swagger-ui-dist", "redoc"],
    async make() {
      await build({
        ...shared,
        entryPoints: { swagger: "api/docs/swagger.ts", redoc: "api/docs/redoc.ts" },
        platform: "browser",
        format: "iife",
        sourcemap: false,
        outdir: "dist/docs",
      });
      buildDocs();
    },
  },
  { name: "the browser page", needs: ["vite", "preact"], make: buildPage },
  {
    name: "TypeScript declarations",
    needs: ["typescript", "rolldown-plugin-dts"],
    make: buildDeclarations,
  },
];
const leftOut = parts.filter(({ needs }) => !needs.every(isInstalled));
for (const part of parts) if (!leftOut.includes(part)) await part.make();
if (leftOut.length > 0) {
  const names = leftOut.map(({ name }) => name).join(", ");
  const missing = leftOut.flatMap(({ needs }) => needs.filter((each) => !isInstalled(each))).join(", ");
  console.log(
    `Built without development dependencies (${missing}): command line and libraries, but not ${names}.`,
  );
}

// --dev FLAGS…: rebuilds at every change, and restarts a server with FLAGS.
const dev = process.argv.indexOf("--dev");
if (dev >= 0) {
  await (await context(forNode)).watch();
  const flags = ["dist/cli.js", "serve", "--reload", ...process.argv.slice(dev + 1)];
  const server = spawn(process.execPath, flags, { stdio: "inherit" });
  for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => server.kill(signal));
  server.on("exit", (code) => process.exit(code ?? 1));
}
