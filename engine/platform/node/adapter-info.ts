import { isSoftware } from "../../device/device-kind.ts";

/** What `resonant devices` shows of an adapter. */
export interface AdapterDescription {
  /** The driver's name for it if Dawn gives it, else `GPUAdapterInfo.device`, or its description where that is a number. */
  name: string;
  vendor: string;
  architecture: string;
  /** The driver's description of itself. */
  driver: string;
  /** `vulkan`, `metal`, `d3d12`; undefined if it is not known. */
  backend: string | undefined;
  kind: "hardware" | "software";
  features: string[];
  /** The limits that decide which models and kernels fit, in bytes or counts. */
  limits: Record<(typeof LIMITS)[number], number>;
  /** Lanes of a subgroup; 0 where the adapter does not say. */
  subgroups: { min: number; max: number };
}

const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupsPerDimension",
] as const;

/** Describes an adapter; `listed` is its name in Dawn's own list, if that is known. */
export function describe(
  adapter: GPUAdapter,
  listed: { name: string; backend: string } | undefined,
): AdapterDescription {
  const { info } = adapter;
  const device = /^\d+$/.test(info.device) ? "" : info.device;
  return {
    name: listed?.name ?? (device || info.description || info.vendor || "unknown"),
    vendor: info.vendor,
    architecture: info.architecture,
    driver: info.description,
    backend: listed?.backend,
    kind: isSoftware(info) ? "software" : "hardware",
    features: [...adapter.features].sort(),
    limits: Object.fromEntries(
      LIMITS.map((name) => [name, adapter.limits[name]]),
    ) as AdapterDescription["limits"],
    subgroups: { min: info.subgroupMinSize ?? 0, max: info.subgroupMaxSize ?? 0 },
  };
}
