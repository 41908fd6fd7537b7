import type { DeviceKind } from "./device-kind.ts";

/**
 * Floating-point operations of these kernels that a device surely does in half a second. Systems and browsers end what a GPU
 * computes for much longer without a pause. A slow integrated GPU is taken to do 50 GFLOP/s, one of NVIDIA or Apple 500. A
 * software adapter has nobody that watches it: no limit.
 */
export function submissionWork(kind: DeviceKind): number {
  if (kind === "software") return Number.POSITIVE_INFINITY;
  return kind === "gpu" ? 25e9 : 250e9;
}
