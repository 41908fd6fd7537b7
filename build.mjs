// Bundles the three entries (command line, Node library, browser library) into dist/, WGSL inlined as text, puts what the
// documentation pages load into dist/docs, and the browser page with its model into dist/demo.
import { execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { promisify } from "node:util";
import { brotliCompress, gzip } from "node:zlib";
import { build, context } from "esbuild";
import { build as buildSite } from "vite";
import { short } from "./kernels/short.mjs";

rmSync("dist", { recursive: true, force: true });
const shared = {
  bundle: true,
  format: "esm",
  target: "es2023",
  packages: "external",
  plugins: [
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
await build({
  ...shared,
  entryPoints: { swagger: "api/docs/swagger.ts", redoc: "api/docs/redoc.ts" },
  platform: "browser",
  format: "iife",
  sourcemap: false,
  outdir: "dist/docs",
});
copyDocs();
await buildDemo();
chmodSync("dist/cli.js", 0o755);
if (process.argv.includes("--types")) {
  execFileSync("npx", ["tsc", "-b", "engine/platform/node", "engine/platform/browser"], { stdio: "inherit" });
  // Of the rooms that the library is made of; a check of all rooms may have left others beside them.
  for (const room of ["common", "kernels", "weights", "engine"]) {
    cpSync(`.types/${room}`, `dist/types/${room}`, {
      recursive: true,
      filter: (file) => !file.endsWith(".tsbuildinfo"),
    });
  }
}

// --dev FLAGS…: builds again at every change, under a server that starts again then.
const dev = process.argv.indexOf("--dev");
if (dev >= 0) {
  await (await context(forNode)).watch();
  const flags = ["dist/cli.js", "serve", "--reload", ...process.argv.slice(dev + 1)];
  const server = spawn(process.execPath, flags, { stdio: "inherit" });
  for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => server.kill(signal));
  server.on("exit", (code) => process.exit(code ?? 1));
}

function copyDocs() {
  const swagger = "node_modules/swagger-ui-dist";
  const redoc = "node_modules/redoc";
  mkdirSync("dist/docs", { recursive: true });
  for (const file of ["page.css", "favicon.svg"]) copyFileSync(`api/docs/${file}`, `dist/docs/${file}`);
  for (const file of ["swagger-ui-bundle.js", "swagger-ui.css"]) {
    writeFileSync(`dist/docs/${file}`, withoutSourceMap(`${swagger}/${file}`));
  }
  // ReDoc's footer shows a logo of another host, the one thing it would load from elsewhere.
  const logo =
    /[\w$]+\?[\w$]+\.createElement\("img",\{[^{}]*src:"https:\/\/cdn\.redoc\.ly\/redoc\/logo-mini\.svg"\}\):null/g;
  const standalone = withoutSourceMap(`${redoc}/bundles/redoc.standalone.js`);
  if (standalone.match(logo)?.length !== 1) throw new Error("ReDoc's footer has changed: mend build.mjs");
  const local = standalone.replace(logo, "null");
  if (/cdn\.redoc|fonts\.googleapis/.test(local))
    throw new Error("ReDoc loads from other hosts: mend build.mjs");
  writeFileSync("dist/docs/redoc.standalone.js", local);
  const licences = [
    `${swagger}/NOTICE`,
    `${swagger}/LICENSE`,
    `${swagger}/swagger-ui-bundle.js.LICENSE.txt`,
    `${redoc}/LICENSE`,
    ...readdirSync(`${redoc}/bundles`)
      .filter((file) => /(standalone|worker)\.js\.LICENSE\.txt$/.test(file))
      .map((file) => `${redoc}/bundles/${file}`),
  ].map((file) => `${file.replace("node_modules/", "")}\n\n${readFileSync(file, "utf8").trim()}\n`);
  writeFileSync("dist/docs/LICENSES.txt", licences.join(`\n${"-".repeat(80)}\n\n`));
}

async function buildDemo() {
  await buildSite({ configFile: "demo/vite.config.ts", logLevel: "warn" });
  const files = readdirSync("dist/demo", { recursive: true })
    .filter((file) => /\.(html|js|css|svg)$/.test(file))
    .map((file) => `dist/demo/${file}`);
  for (const file of files) {
    const bytes = readFileSync(file);
    writeFileSync(`${file}.br`, await promisify(brotliCompress)(bytes));
    writeFileSync(`${file}.gz`, await promisify(gzip)(bytes, { level: 9 }));
  }
}

/** The maps are several times the size, and are not shipped. */
function withoutSourceMap(file) {
  return readFileSync(file, "utf8").replace(/\s*(\/\/|\/\*)# sourceMappingURL=[^\n]*$/, "\n");
}
