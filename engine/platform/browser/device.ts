import { ResonantError } from "../../../common/errors.ts";

/**
 * The browser's WebGPU adapter; the fast one if there are two.
 * @throws ResonantError `no_adapter` saying what is missing in the page, the browser or the machine
 */
export async function requestAdapter(): Promise<GPUAdapter> {
  const gpu = (globalThis.navigator as Partial<NavigatorGPU> | undefined)?.gpu;
  if (gpu === undefined) {
    if (globalThis.isSecureContext === false) {
      throw new ResonantError("no_adapter", "WebGPU is only for pages from a secure origin", {
        where: "navigator.gpu",
        fix: "Serve the page over https, or from localhost",
      });
    }
    throw new ResonantError("no_adapter", "this browser has no WebGPU", {
      where: "navigator.gpu",
      fix: WHERE_IT_IS,
    });
  }
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (adapter !== null) return adapter;
  throw new ResonantError("no_adapter", "this browser has WebGPU but found no adapter", {
    where: "navigator.gpu.requestAdapter",
    fix: WHERE_NO_ADAPTER,
  });
}

/** As of 2026: the working group's list of implementations, and MDN's data of compatibility. */
const WHERE_IT_IS =
  "Chrome and Edge have it from 113 (Android 121), Safari from 26, Firefox from 141 on Windows and 145 on Macs with Apple's processors. " +
  "In another Firefox, set dom.webgpu.enabled in about:config; in Chrome on Linux, see chrome://flags/#enable-unsafe-webgpu. " +
  "Service workers may have none where pages and other workers have it";

const WHERE_NO_ADAPTER =
  "Switch hardware acceleration on in the browser's settings, and update the graphics driver. " +
  "Chrome on Linux may need to be started with --enable-unsafe-webgpu --enable-features=Vulkan,VulkanFromANGLE --use-angle=vulkan, " +
  "and Firefox with gfx.webgpu.ignore-blocklist set in about:config";
