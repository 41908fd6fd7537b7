import { Gpu } from "../../engine/device/gpu.ts";
import { defaultTuning, rowsPerWorkgroupChoices, type Tuning } from "../../engine/device/tuning.ts";
import { Model } from "../../engine/model.ts";
import { Kernel } from "../../kernels/kernel.ts";
import { weightFormats } from "../../kernels/matrix.ts";
import { catalogueModels } from "./models.ts";
import { type NullAdapterOptions, nullAdapter } from "./null-adapter.ts";
import { useModel, usePacking } from "./uses.ts";

export type Overrides = Readonly<Record<string, number | boolean>>;

/** Kernels with each set of overrides that was asked for, by the set as JSON. */
export type Catalogue = ReadonlyMap<Kernel, ReadonlyMap<string, Overrides>>;

type Device = readonly [NullAdapterOptions, Tuning?];

const gpu: Device = [{ vendor: "some" }];
/** A GPU, and software with subgroups of the two sizes that are told apart. */
const devices: readonly Device[] = [
  gpu,
  [{ vendor: "llvmpipe", subgroupSize: 4 }],
  [{ vendor: "llvmpipe", subgroupSize: 8 }],
];
/** Devices of every kind, and the tunings that `resonant tune` may choose. */
const allDevices: readonly Device[] = [
  ...devices,
  [{ vendor: "llvmpipe" }],
  [{ vendor: "nvidia", subgroupSize: 32, limits: { maxComputeWorkgroupStorageSize: 49152 } }],
  [{ vendor: "apple", subgroupSize: 32, limits: { maxComputeWorkgroupStorageSize: 32768 } }],
  ...rowsPerWorkgroupChoices.map(
    (rowsPerWorkgroup): Device => [{ vendor: "some" }, { ...defaultTuning("gpu", 0), rowsPerWorkgroup }],
  ),
  ...([4, 8] as const).map(
    (lanes): Device => [{ vendor: "some", subgroupSize: lanes }, defaultTuning("gpu", lanes, lanes)],
  ),
];
const devicesOf = { "a GPU": [gpu], "all devices": allDevices } as const;

/**
 * Everything that the engine asks of a device: each kernel, and each set of overrides with which models of every family and
 * format use it on devices of every kind. Nothing is computed, so it takes seconds. A new kernel is in it as soon as a
 * model uses it.
 */
export async function makeCatalogue(): Promise<Catalogue> {
  const seen = new Map<Kernel, Map<string, Overrides>>();
  for (const { open, options, on } of Object.values(catalogueModels)) {
    for (const format of weightFormats) {
      for (const device of on ? devicesOf[on] : devices) {
        const host = await openNull(device, seen);
        const files = await open();
        const loading = { ...options, format, slots: 20, promptRows: 64, onPacked: () => undefined };
        const model = await Model.load(host, files, loading);
        await files.close?.();
        await useModel(model);
      }
    }
  }
  usePacking(await openNull(gpu, seen));
  lendToTwins(seen);
  return seen;
}

/** A kernel's name without what tells its twins apart. */
const family = ({ name }: Kernel): string => name.replaceAll(/-(lanes|ahead|interleaved)/g, "");

/**
 * Kernels are made with all their twins, by lanes, by layout and by loads ahead, and no device takes some of these. They have to compile
 * too, with the overrides of a twin that is used.
 */
function lendToTwins(seen: Map<Kernel, Map<string, Overrides>>): void {
  for (const kernel of Kernel.all) {
    if (seen.has(kernel)) continue;
    const twin = [...seen].find(([other]) => family(other) === family(kernel));
    const [overrides] = twin?.[1].values() ?? [];
    if (!overrides) continue;
    const takes = (name: string): boolean => new RegExp(`\\boverride ${name}\\b`).test(kernel.code);
    const given = Object.entries({ SHARED_LOAD_LANES: 4, ...overrides });
    const own = Object.fromEntries(given.filter(([name]) => takes(name)));
    seen.set(kernel, new Map([[JSON.stringify(own), own]]));
  }
}

async function openNull([adapter, tuning]: Device, seen: Map<Kernel, Map<string, Overrides>>): Promise<Gpu> {
  const opened = await Gpu.open(nullAdapter(adapter), undefined, tuning);
  const pipeline = opened.pipeline.bind(opened);
  opened.pipeline = (kernel, overrides) => {
    const sets = seen.get(kernel) ?? new Map<string, Overrides>();
    seen.set(kernel, sets.set(JSON.stringify(overrides), overrides));
    return pipeline(kernel, overrides);
  };
  return opened;
}
