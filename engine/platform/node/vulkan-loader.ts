import { constants } from "node:os";

/** dlopen's flag for "keep it when it is closed", which Node has no name for. */
const RTLD_NODELETE = 0x1000;
const LOADER = "libvulkan.so.1";

let onSystem: boolean | undefined;

/**
 * Whether Linux has a Vulkan loader of its own. Asked once, before any other is loaded; where there is none, Dawn is
 * better not tried, for it writes its complaint straight to the terminal.
 */
export function hasSystemVulkanLoader(): boolean {
  onSystem ??= keepLoaded(LOADER) === undefined;
  return onSystem;
}

/**
 * Loads the Vulkan loader at an absolute path, if the system has none, so that Dawn finds it.
 *
 * Dawn asks for `libvulkan.so.1` by name only, and the dynamic linker reads LD_LIBRARY_PATH once, at the start. But a
 * library already in the process answers to its SONAME wherever it came from, so it is enough to load it beforehand.
 * @returns why it could not be loaded, or undefined.
 */
export function loadVulkanLoader(file: string): string | undefined {
  return hasSystemVulkanLoader() ? undefined : keepLoaded(file);
}

/**
 * `process.dlopen` is the only dlopen that Node gives. It rejects and closes a library that is no addon, but only after
 * loading it: "did not self-register" therefore means that it is there, and RTLD_NODELETE keeps it there.
 */
function keepLoaded(library: string): string | undefined {
  const { RTLD_NOW, RTLD_GLOBAL } = constants.dlopen;
  try {
    process.dlopen({ exports: {} }, library, (RTLD_NOW ?? 2) | (RTLD_GLOBAL ?? 0x100) | RTLD_NODELETE);
    return undefined;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return message.includes("did not self-register") ? undefined : message;
  }
}
