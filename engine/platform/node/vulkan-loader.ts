import { constants } from "node:os";

/** dlopen's flag RTLD_NODELETE, which keeps a library loaded after it is closed. Node has no name for it. */
const RTLD_NODELETE = 0x1000;
const LOADER = "libvulkan.so.1";

let onSystem: boolean | undefined;

/**
 * Whether Linux has a Vulkan loader of its own. Checked once, before any other is loaded. Without one, Dawn should not be
 * tried: it writes its complaint straight to the terminal.
 */
export function hasSystemVulkanLoader(): boolean {
  onSystem ??= keepLoaded(LOADER) === undefined;
  return onSystem;
}

/**
 * Loads the Vulkan loader at an absolute path if the system has none, so that Dawn finds it. Dawn asks for `libvulkan.so.1`
 * by name only, and the dynamic linker reads LD_LIBRARY_PATH only once, at the start. But a library that is already loaded
 * is found by its SONAME wherever it came from, so it is enough to load it before.
 * @returns why it could not be loaded, or undefined
 */
export function loadVulkanLoader(file: string): string | undefined {
  return hasSystemVulkanLoader() ? undefined : keepLoaded(file);
}

/**
 * `process.dlopen` is the only dlopen that Node offers. It rejects and closes a library that is not an addon, but only
 * after loading it: the error "did not self-register" therefore means that the library was loaded, and RTLD_NODELETE keeps
 * it loaded.
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
