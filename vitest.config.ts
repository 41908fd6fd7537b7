import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
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
    // Dawn has crashed in worker threads (dawn-gpu/node-webgpu issue 13), but never in parallel processes.
    pool: "forks",
    // A software driver compiles a shader on one core, and the tests mostly wait for that. More files at a time would cost
    // memory but save little time: each has a device, and some have servers or a browser.
    maxWorkers: Math.min(4, availableParallelism()),
    // These limits only stop tests that hang; a machine may be slow, and busy with other files.
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
