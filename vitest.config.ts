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
    // Dawn has crashed inside worker threads (dawn-gpu/node-webgpu issue 13), never in processes side by side.
    pool: "forks",
    // A software driver compiles a shader on one core, which is most of what the tests wait for. More files at a time would
    // want more memory than they save time: each has a device, and some have servers or a browser.
    maxWorkers: Math.min(4, availableParallelism()),
    // A machine may be slow, and busy with other files. These only end what hangs.
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
