import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { bunFunctions, denoFunctions } from "./foreign-functions.ts";

/** dlopen's flag RTLD_NODELETE, which keeps a library loaded after it is closed. Node has no name for it. */
const RTLD_NODELETE = 0x1000;
const LOADER = "libvulkan.so.1";
/** A function that every Vulkan loader has: foreign function interfaces load a library together with one at least. */
const ENTRY = "vkGetInstanceProcAddr";

let onSystem: boolean | undefined;

/**
 * Whether Linux has a Vulkan loader of its own. Checked once, before any other is loaded. Without one, Dawn should not be
 * tried: it writes its complaint straight to the terminal. True also where the runtime may not look.
 */
export function hasSystemVulkanLoader(): boolean {
  onSystem ??= load(LOADER) === undefined;
  return onSystem;
}

/**
 * Loads the Vulkan loader at an absolute path if the system has none, so that Dawn finds it. Dawn asks for `libvulkan.so.1`
 * by name only, and the dynamic linker reads LD_LIBRARY_PATH only once, at the start. But a library that is already loaded
 * is found by its SONAME wherever it came from, so it is enough to load it before.
 * @returns why it could not be loaded, or undefined
 */
export function loadVulkanLoader(file: string): string | undefined {
  return hasSystemVulkanLoader() ? undefined : load(file);
}

/** Loads a library that is no addon, and, if it is named by its path, keeps it loaded. Returns why that failed. */
function load(library: string): string | undefined {
  if (process.versions.deno !== undefined) return loadInDeno(library);
  return process.versions.bun === undefined ? loadInNode(library) : loadInBun(library);
}

/**
 * `process.dlopen` is the only dlopen that Node offers. It rejects and closes a library that is not an addon, but only
 * after loading it, and RTLD_NODELETE keeps it loaded. Both failures have the same code, so whether it is loaded is looked
 * up in the process's memory map.
 */
function loadInNode(library: string): string | undefined {
  const { RTLD_NOW, RTLD_GLOBAL } = constants.dlopen;
  try {
    process.dlopen({ exports: {} }, library, (RTLD_NOW ?? 2) | (RTLD_GLOBAL ?? 0x100) | RTLD_NODELETE);
    return undefined;
  } catch (error) {
    return isMapped(/\/libvulkan\.so[^/]*$/m) === false ? messageOf(error) : undefined;
  }
}

/** Bun's `process.dlopen` does not keep it, but has a code if nothing was loaded. `bun:ffi` also looks in the working folder. */
function loadInBun(library: string): string | undefined {
  try {
    process.dlopen({ exports: {} }, library);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_DLOPEN_FAILED") return messageOf(error);
  }
  if (library === LOADER) return undefined;
  return attempt(() =>
    bunFunctions()?.dlopen(library, { [ENTRY]: { args: ["ptr", "ptr"], returns: "ptr" } }),
  );
}

/** Deno's `process.dlopen` takes paths of addons only. */
function loadInDeno(library: string): string | undefined {
  const entry = { parameters: ["pointer", "pointer"], result: "pointer" };
  return attempt(() => denoFunctions()?.dlopen(library, { [ENTRY]: entry }));
}

function attempt(action: () => unknown): string | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    return isForbidden(error) ? undefined : messageOf(error);
  }
}

/** Whether an error says that Deno was not given a permission. */
export const isForbidden = (error: unknown): boolean => error instanceof Error && error.name === "NotCapable";

/** Whether this process has mapped a file with such a path (Linux); undefined where that cannot be read. */
export function isMapped(path: RegExp): boolean | undefined {
  try {
    return path.test(readFileSync("/proc/self/maps", "utf8"));
  } catch {
    return undefined;
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
