import { join } from "node:path";
import { ResonantError } from "../../../common/errors.ts";
import { setVariable } from "./environment.ts";
import type { OnProgress } from "./npm-tarball.ts";
import { fetchSoftwareStack } from "./software-stack.ts";
import { loadVulkanLoader } from "./vulkan-loader.ts";

/**
 * Runs `use` while Vulkan sees only the fetched SwiftShader (fetching it the first time), then makes the system's drivers
 * visible again. An adapter found inside stays usable: drivers are looked up only when an instance is created.
 * @throws ResonantError `no_adapter` or `invalid_file`: not Linux x64, offline, no disk space, a wrong tarball
 */
export async function withSoftwareDriver<T>(
  use: () => Promise<T>,
  options: { onProgress?: OnProgress | undefined } = {},
): Promise<T> {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new ResonantError(
      "no_adapter",
      `no software driver can be fetched for ${process.platform} ${process.arch}`,
      {
        fix: "It exists for Linux x64 only",
      },
    );
  }
  const members = ["swiftshader.tar.br"] as const;
  const { "swiftshader.tar.br": folder } = await fetchSoftwareStack({
    members,
    onProgress: options.onProgress,
  });
  const failure = loadVulkanLoader(join(folder, "libvulkan.so.1"));
  if (failure !== undefined) {
    throw new ResonantError("no_adapter", `the fetched Vulkan loader does not load: ${failure}`, {
      where: folder,
      fix: "Install the system's own (libvulkan1), or remove this folder so that it is fetched again",
    });
  }
  return withDriverFiles(join(folder, "vk_swiftshader_icd.json"), use);
}

/** Both environment variables that list driver manifests: loaders before 1.3.207 know only the second. */
const DRIVER_FILES = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] as const;

let turn: Promise<unknown> = Promise.resolve();

/** One call at a time, because the environment belongs to the whole process. */
function withDriverFiles<T>(manifest: string, use: () => Promise<T>): Promise<T> {
  const result = turn.then(async () => {
    const before = DRIVER_FILES.map((name) => process.env[name]);
    for (const name of DRIVER_FILES) setVariable(name, manifest);
    try {
      return await use();
    } finally {
      DRIVER_FILES.forEach((name, index) => {
        setVariable(name, before[index]);
      });
    }
  });
  turn = result.catch(() => undefined);
  return result;
}
