/** The kind of device: an NVIDIA GPU, an Apple GPU, another GPU, or the CPU through a software adapter. */
export type DeviceKind = "nvidia" | "apple" | "gpu" | "software";

/** The kind of an adapter, from what its driver reports. */
export function kindOf(info: GPUAdapterInfo): DeviceKind {
  if (isSoftware(info)) return "software";
  if (/nvidia/i.test(info.vendor)) return "nvidia";
  return /apple/i.test(info.vendor) ? "apple" : "gpu";
}

const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|microsoft basic render|\bwarp\b/i;

/** Whether an adapter computes on the CPU. */
export function isSoftware(info: GPUAdapterInfo): boolean {
  return (
    info.isFallbackAdapter === true ||
    SOFTWARE.test([info.vendor, info.architecture, info.device, info.description].join(" "))
  );
}
