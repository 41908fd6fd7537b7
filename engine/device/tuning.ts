import type { KernelHost } from "../../kernels/kernel.ts";
import type { DeviceKind } from "./device-kind.ts";

/** What {@link Tuning} chooses from. */
export const shareCounts = [0, 4, 8] as const satisfies readonly KernelHost["share"][];
export const productCounts = [8, 16, 32, 64] as const;
export const manyRowCounts = [2, 4, 8, 16, 32] as const;

/** What suits a device: it decides how fast products are, and no bit of what they give. */
export interface Tuning {
  /** {@link KernelHost.share}. */
  readonly share: KernelHost["share"];
  /** {@link KernelHost.products}. */
  readonly products: (typeof productCounts)[number];
  /** Streams from which on a step takes tiles of rows instead of a row at a time. */
  readonly manyRows: (typeof manyRowCounts)[number];
}

/** Most lanes that can share loads on an adapter whose subgroups have at least `subgroupMinSize`, or that has none. */
export function mostLanes(features: ReadonlySet<string>, subgroupMinSize: number): KernelHost["share"] {
  if (!features.has("subgroups") || subgroupMinSize < 4) return 0;
  return subgroupMinSize < 8 ? 4 : 8;
}

/**
 * What suits most devices of a kind. A software adapter's loads cost more than its arithmetic, so lanes share them, and in
 * lanes a tile beats a few rows one at a time sooner: it reads the weights once.
 * @param lanes of {@link mostLanes}
 * @param share what is decided already
 */
export function defaultTuning(
  kind: DeviceKind,
  lanes: KernelHost["share"],
  share: KernelHost["share"] = kind === "cpu" ? lanes : 0,
): Tuning {
  return { share, products: share > 0 || kind === "cpu" ? 64 : 16, manyRows: share > 0 ? 4 : 8 };
}
