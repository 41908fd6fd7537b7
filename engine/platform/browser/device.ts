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
      fix: "Use a recent Chrome, Edge, Safari or Firefox, and on Linux check that WebGPU is not switched off",
    });
  }
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (adapter !== null) return adapter;
  throw new ResonantError("no_adapter", "this browser has WebGPU but found no adapter", {
    where: "navigator.gpu.requestAdapter",
    fix: "Switch hardware acceleration on in the browser's settings, and update the graphics driver",
  });
}
