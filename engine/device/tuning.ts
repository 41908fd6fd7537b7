import type { KernelHost, WeightLayout } from "../../kernels/kernel.ts";
import type { DeviceKind } from "./device-kind.ts";

/** The values that {@link Tuning} chooses from. */
export const sharedLoadLanesChoices = [0, 4, 8] as const satisfies readonly KernelHost["sharedLoadLanes"][];
export const rowsPerWorkgroupChoices = [2, 4, 8, 16, 32, 64] as const;
export const tiledDecodeFromChoices = [2, 4, 8, 16, 32] as const;

/** Settings that suit a device. They change how fast products are, never a bit of their results. */
export interface Tuning {
  /** {@link KernelHost.sharedLoadLanes}. */
  readonly sharedLoadLanes: KernelHost["sharedLoadLanes"];
  /** {@link KernelHost.rowsPerWorkgroup}. */
  readonly rowsPerWorkgroup: (typeof rowsPerWorkgroupChoices)[number];
  /** Streams from which on a decode step multiplies in tiles of rows, not a row at a time. */
  readonly tiledDecodeFrom: (typeof tiledDecodeFromChoices)[number];
}

/** Most lanes that can share loads on an adapter whose subgroups have at least `subgroupMinSize` lanes; 0 without subgroups. */
export function mostSharedLoadLanes(
  features: ReadonlySet<string>,
  subgroupMinSize = 0,
): KernelHost["sharedLoadLanes"] {
  if (!features.has("subgroups") || subgroupMinSize < 4) return 0;
  return subgroupMinSize < 8 ? 4 : 8;
}

/**
 * What suits most devices of a kind. On a software adapter loads cost more than arithmetic, so lanes share them; and then a
 * tile, which reads the weights once, is faster than single rows for smaller batches already.
 * @param mostLanes from {@link mostSharedLoadLanes}
 * @param sharedLoadLanes if that is decided already
 */
export function defaultTuning(
  kind: DeviceKind,
  mostLanes: KernelHost["sharedLoadLanes"],
  sharedLoadLanes: KernelHost["sharedLoadLanes"] = kind === "software" ? mostLanes : 0,
): Tuning {
  return {
    sharedLoadLanes,
    rowsPerWorkgroup: sharedLoadLanes > 0 || kind === "software" ? 64 : 16,
    tiledDecodeFrom: sharedLoadLanes > 0 ? 4 : 8,
  };
}

/** How weights are laid out: a software adapter gains nothing from interleaved rows (measured on llvmpipe). */
export const weightLayoutOf = (kind: DeviceKind): WeightLayout =>
  kind === "software" ? "rows" : "interleaved";
