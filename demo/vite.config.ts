import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { defineConfig, type Plugin } from "vite";
import { licencesOf, packageOf } from "../build/licences.mjs";
import { vitePrograms } from "../build/program-text.mjs";
import { short } from "../kernels/short.mjs";

const weights = fileURLToPath(new URL("../weights/shakespeare/", import.meta.url));

/** Kernels are imported as text. */
const wgsl = (): Plugin => ({
  name: "wgsl-as-text",
  async load(id) {
    if (!id.endsWith(".wgsl")) return null;
    return `export default ${JSON.stringify(short(await readFile(id, "utf8")))};`;
  },
});

/** Serves the default model at model/ below the page. */
const model = (): Plugin => ({
  name: "default-model",
  configureServer(server) {
    server.middlewares.use("/model", (request, response, next) => {
      const name = (request.url ?? "/").slice(1);
      readFile(weights + encodeURIComponent(name)).then((bytes) => response.end(bytes), next);
    });
  },
  async generateBundle() {
    for (const name of await readdir(weights)) {
      this.emitFile({ type: "asset", fileName: `model/${name}`, source: await readFile(weights + name) });
    }
  },
});

/** LICENSES.txt, of all packages whose code is in the page or its workers, which are bundled before it. */
function licences(): { page: Plugin; worker: Plugin; add(modules: readonly string[]): void } {
  const packages = new Set<string>();
  const add = (modules: readonly string[]): void => {
    for (const path of modules) {
      const name = packageOf(path);
      if (name !== undefined) packages.add(name);
    }
  };
  const collect: Plugin["generateBundle"] = (_options, bundle) => {
    for (const output of Object.values(bundle)) {
      if (output.type !== "chunk") continue;
      add(output.moduleIds);
    }
  };
  return {
    add,
    worker: { name: "licences-of-worker", generateBundle: collect },
    page: {
      name: "licences",
      generateBundle(...bundle) {
        collect.apply(this, bundle);
        this.emitFile({ type: "asset", fileName: "LICENSES.txt", source: licencesOf(packages) });
      },
    },
  };
}

const { page, worker, add } = licences();

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  base: "./", // so that it also works below a path prefix
  plugins: [wgsl(), vitePrograms(build, add), model(), page],
  worker: { format: "es", plugins: () => [wgsl(), vitePrograms(build, add), worker] },
  build: { outDir: "../dist/demo", emptyOutDir: true, target: "es2023", modulePreload: { polyfill: false } },
});
