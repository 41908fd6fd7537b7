import { ResonantError } from "../../../common/errors.ts";
import { isForbidden, isMapped } from "./vulkan-loader.ts";

/** Makes a WebGPU instance; the options are Dawn's (`name=value`). */
export type CreateGpu = (options: string[]) => GPU;

/** The implementation of WebGPU that this process uses. */
export interface Implementation {
  readonly create: CreateGpu;
  /** Dawn, an addon; or the runtime's own `navigator.gpu`, which lists no adapters and takes no options. */
  readonly name: "dawn" | "runtime";
}

const PLATFORMS = ["linux", "darwin", "win32"];
const PROCESSORS = ["x64", "arm64"];

/**
 * Loads Dawn, and defines WebGPU's constants and classes on `globalThis`: Dawn's in place of the runtime's own, since
 * objects of one implementation are no instances of the other's classes. Where Dawn does not load but the runtime has
 * WebGPU itself (Deno without the right to load addons), returns that.
 * @throws ResonantError `no_adapter` saying why Dawn does not load
 */
export async function loadImplementation(): Promise<Implementation> {
  try {
    const { create, globals } = await import("webgpu");
    for (const [name, value] of Object.entries(globals)) {
      Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
    }
    return { create, name: "dawn" };
  } catch (error) {
    const own = (globalThis as { navigator?: Partial<NavigatorGPU> }).navigator?.gpu;
    if (own) return { create: () => own, name: "runtime" };
    throw doesNotLoad(error);
  }
}

/** Says why Dawn does not load, from the error's code and from facts about the process. */
export function doesNotLoad(error: unknown, { platform, arch } = process as Place): ResonantError {
  const message = error instanceof Error ? error.message : String(error);
  const fix = (): string => {
    if (!PLATFORMS.includes(platform) || !PROCESSORS.includes(arch)) {
      return "It is made for Linux (glibc), macOS and Windows, on x64 or arm64";
    }
    if (isForbidden(error)) return "Let Deno load the addon: --allow-ffi, or -A";
    const { code } = error as { code?: unknown };
    if (code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND") {
      return "Install the packages on this machine (npm ci, bun install or deno install), not on another one";
    }
    if (platform === "linux" && isMapped(/\/ld-musl-[^/]*$/m) === true) {
      return "It needs glibc, and this system has musl: on Alpine, use an image of Debian or Ubuntu instead";
    }
    return "The message says what is wrong with it: a library that is missing or too old, or a damaged file. Update the system, or install the packages again";
  };
  return new ResonantError("no_adapter", `Dawn does not load on ${platform} ${arch}: ${message}`, {
    where: "webgpu",
    fix: fix(),
    cause: error,
  });
}

interface Place {
  readonly platform: string;
  readonly arch: string;
}
