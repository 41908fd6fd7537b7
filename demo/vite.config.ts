import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

/** Kernels are imported as text. */
const wgsl = (): Plugin => ({
  name: "wgsl-as-text",
  async load(id) {
    if (!id.endsWith(".wgsl")) return null;
    return `export default ${JSON.stringify(await readFile(id, "utf8"))};`;
  },
});

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  base: "./", // it also runs below a prefix
  plugins: [wgsl()],
  worker: { format: "es", plugins: () => [wgsl()] },
  build: { outDir: "../dist/demo", emptyOutDir: true, target: "es2023", modulePreload: { polyfill: false } },
});
