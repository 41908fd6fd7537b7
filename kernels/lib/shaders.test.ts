import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";

/** Every shader in `kernels/`, with its path. */
async function shaders(): Promise<[path: string, text: string][]> {
  const root = join(import.meta.dirname, "..");
  const paths = (await readdir(root, { recursive: true })).filter((path) => path.endsWith(".wgsl"));
  return Promise.all(
    paths.map(async (path): Promise<[string, string]> => [path, await readFile(join(root, path), "utf8")]),
  );
}

// Seen with webgpu 0.6.2 on SwiftShader: such a variable is zeroed only once, not in each round of its loop.
it("no shader relies on a variable being zero without saying so", async () => {
  const relying = (await shaders()).flatMap(([path, text]) =>
    [...text.matchAll(/^\s*var \w+(: [^=;]*)?;/gm)].map(([line]) => `${path}: ${line.trim()}`),
  );
  expect(relying).toEqual([]);
});

it("no shader depends on how large a subgroup is: those by lanes pass values round, and nothing adds up across one", async () => {
  const asking = (await shaders()).filter(([path, text]) =>
    /\bsubgroup|\bquad[A-Z]/.test(
      path.endsWith("-lanes.wgsl")
        ? code(text).replaceAll(/enable subgroups;|subgroupShuffle\(|subgroup_invocation_id/g, "")
        : code(text),
    ),
  );
  expect(asking.map(([path]) => path)).toEqual([]);
});

/** Without comments. */
const code = (text: string): string => text.replaceAll(/\/\/.*$/gm, "");
