/** The kind of device: an NVIDIA GPU, an Apple GPU, another GPU, or the CPU through a software adapter. */
export type DeviceKind = "nvidia" | "apple" | "gpu" | "software";

/** Words by which vendors, and devices in descriptions, are known. */
const WORDS = {
  nvidia: /\bnvidia\b|\bgeforce\b|\bquadro\b/i,
  apple: /\bapple\b/i,
} as const;

/** PCI ids of vendors. wgpu gives a vendor as such a number, in decimal, and 0 where it knows none. */
const PCI: Readonly<Record<number, DeviceKind>> = { 4318: "nvidia", 4203: "apple" };

/**
 * The kind of an adapter, from what its driver reports. The vendor decides if there is one, by name (Dawn, Chromium, Safari) or
 * by number (wgpu); else words of the description. An adapter that says nothing (Firefox) is a GPU, unless it is a fallback.
 */
export function kindOf(info: GPUAdapterInfo): DeviceKind {
  if (isSoftware(info)) return "software";
  const number = /^(0x[0-9a-f]+|\d+)$/i.test(info.vendor) ? Number(info.vendor) : undefined;
  if (number) return PCI[number] ?? "gpu";
  const words = number === 0 || info.vendor === "" ? `${info.device} ${info.description}` : info.vendor;
  if (WORDS.nvidia.test(words)) return "nvidia";
  return WORDS.apple.test(words) ? "apple" : "gpu";
}

const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|microsoft basic render|\bwarp\b/i;

/** Whether an adapter computes on the CPU. */
export function isSoftware(info: GPUAdapterInfo): boolean {
  return (
    info.isFallbackAdapter === true ||
    SOFTWARE.test([info.vendor, info.architecture, info.device, info.description].join(" "))
  );
}
