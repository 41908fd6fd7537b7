/** The kind of device: an NVIDIA GPU, an Apple GPU, another GPU, or the CPU through a software adapter. */
export type DeviceKind = "cuda" | "mps" | "gpu" | "cpu";

/** The kind of an adapter, from what its driver reports. */
export function kindOf(info: GPUAdapterInfo): DeviceKind {
  if (isSoftware(info)) return "cpu";
  if (/nvidia/i.test(info.vendor)) return "cuda";
  return /apple/i.test(info.vendor) ? "mps" : "gpu";
}

const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|microsoft basic render|\bwarp\b/i;

/** Whether an adapter computes on the CPU. */
export function isSoftware(info: GPUAdapterInfo): boolean {
  return (
    info.isFallbackAdapter === true ||
    SOFTWARE.test([info.vendor, info.architecture, info.device, info.description].join(" "))
  );
}
