import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { build } from "esbuild";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { vitePrograms } from "./build/program-text.mjs";

/** The files that take longest on a software driver, longest first. A file that is not here runs after them. */
const LONGEST = [
  "test/page.test.ts",
  "engine/families/decoder.test.ts",
  "test/naga.test.ts",
  "test/firefox.test.ts",
  "test/python-clients.test.ts",
  "test/deno.test.ts",
  "test/replicas.test.ts",
  "engine/device/tune.test.ts",
  "kernels/logprobs/logprobs.test.ts",
  "test/races/races.test.ts",
  "test/page-bench.test.ts",
  "engine/goldens.test.ts",
  "engine/retrieval/retrieval.test.ts",
  "test/cli-retrieve.test.ts",
  "test/browser-library.test.ts",
  "test/soak/soak.test.ts",
  "test/cli-tune.test.ts",
  "test/package.test.ts",
];

/** Starts the longest files first: one that starts last would run alone. A fresh clone knows no times of an earlier run. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const at = LONGEST.findIndex((file) => moduleId.endsWith(`/${file}`));
      return at < 0 ? LONGEST.length : at;
    };
    return (await super.sort(files)).sort((a, b) => place(a) - place(b));
  }
}

export default defineConfig({
  plugins: [
    vitePrograms(build),
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
    sequence: { sequencer: LongestFirst },
    // A software driver compiles a shader on one core, and the tests mostly wait for that. More files at a time would cost
    // memory but save little time: each has a device, and some have servers or a browser.
    maxWorkers: Math.min(4, availableParallelism()),
    // These limits only stop tests that hang; a machine may be slow, and busy with other files.
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
