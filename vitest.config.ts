import { readFile } from "node:fs/promises";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [
    {
      name: "wgsl-as-text",
      async load(id) {
        if (!id.endsWith(".wgsl")) return null;
        return `export default ${JSON.stringify(await readFile(id, "utf8"))};`;
      },
    },
  ],
  test: {
    include: ["{common,kernels,engine,api,cli,weights,bench,demo,test}/**/*.test.ts"],
    // Dawn has crashed inside worker threads (dawn-gpu/node-webgpu issue 13): forks, one GPU user at a time.
    pool: "forks",
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
