import type { Launch, ProductLaunch } from "./launch.ts";

/** A GPU as data sheets describe it; times in seconds. */
export interface PaperDevice {
  readonly name: string;
  readonly bytesPerSecond: number;
  readonly processors: number;
  readonly clock: number;
  /** From a load to its data, when memory is busy. */
  readonly latency: number;
  /** From the end of a dispatch to the start of one that reads its results. */
  readonly gap: number;
  /** Threads of a processor that have 64 registers each, and its bytes for workgroups. */
  readonly threads: number;
  readonly shared: number;
}

export const paperDevices: readonly PaperDevice[] = [
  {
    name: "H100",
    bytesPerSecond: 3.35e12,
    processors: 132,
    clock: 1.755e9,
    latency: 700e-9,
    gap: 2.5e-6,
    threads: 1024,
    shared: 228e3,
  },
  {
    name: "RTX 4090",
    bytesPerSecond: 1.008e12,
    processors: 128,
    clock: 2.52e9,
    latency: 600e-9,
    gap: 2.5e-6,
    threads: 1024,
    shared: 100e3,
  },
  {
    name: "M2",
    bytesPerSecond: 100e9,
    processors: 10,
    clock: 1.4e9,
    latency: 600e-9,
    gap: 3e-6,
    threads: 1024,
    shared: 60e3,
  },
];

/** Cycles of a barrier, of a load from a workgroup's memory, and of an addition that waits for the one before. */
const CYCLES = { barrier: 50, shared: 30, addition: 4 };
/** From a load to its data in a near cache. */
const NEAR = 45e-9;

/** Predicted seconds of a dispatch, with the gap before it. */
export function secondsOf({ product, workgroups, serialLoads = 0 }: Launch, on: PaperDevice): number {
  if (!product) return on.gap + 2 * on.latency + serialLoads * NEAR;
  const { bytes, threads, lines, loadBytes } = product;
  const resident = Math.max(
    1,
    Math.floor(Math.min(on.threads / threads, on.shared / sharedBytes(product), 32)),
  );
  const waves = Math.ceil(workgroups / (resident * on.processors));
  const fromMemory = bytes / on.bytesPerSecond + on.latency;
  // A load of 32 threads takes a cycle for each line that it touches.
  const loads = bytes / (32 * loadBytes);
  const fromCache = (loads * lines) / (on.processors * on.clock);
  return on.gap + Math.max(fromMemory, fromCache, waves * workgroupSeconds(product, on));
}

/** A workgroup alone: everything in it that waits for something else. */
function workgroupSeconds(p: ProductLaunch, { latency, clock }: PaperDevice): number {
  // The input, and the norm's weights after its statistics.
  const prologue = (p.norm ? 2 : 1) * latency + (p.barriers * CYCLES.barrier) / clock;
  const sums = p.quickSums
    ? p.slices * CYCLES.addition + Math.ceil(p.slices / 8) * CYCLES.shared
    : p.slices * CYCLES.shared;
  const waits = p.waits * latency;
  return (p.early ? Math.max(prologue, latency) + waits - latency : prologue + waits) + sums / clock;
}

/** The input and the partial sums. */
const sharedBytes = ({ slices, rowsPerWorkgroup }: ProductLaunch): number =>
  slices * (128 + 4 * rowsPerWorkgroup);
