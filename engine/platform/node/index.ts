import { basename } from "node:path";
import type { ResonantError } from "../../../common/errors.ts";
import type { HubOptions } from "../../../weights/node/hub/fetch.ts";
import { resolveModel } from "../../../weights/node/hub/model.ts";
import { Gpu } from "../../device/gpu.ts";
import { type LoadOptions, Model } from "../../model.ts";
import { type AdapterOptions, describeAdapter, requestAdapter } from "./device.ts";
import { defaultModelFolder, openModelFolder } from "./files.ts";
import { rememberedTuning } from "./tuning-file.ts";

export * from "../library.ts";
export { describeAdapter, listAdapters, requestAdapter } from "./device.ts";
export { openModelFolder } from "./files.ts";

/** How to load a model in Node. */
export interface OpenOptions extends LoadOptions, Omit<AdapterOptions, "onProgress"> {
  /** Told of the software driver's download, if there is one. */
  readonly onDownload?: AdapterOptions["onProgress"];
  /** A folder, or a hub's `owner/name[@revision]`; the model that ships with this package if undefined. */
  readonly model?: string | undefined;
  /** A checkpoint of adapters (.pt or safetensors), for a base model. */
  readonly adapters?: string | undefined;
  /** A file that `resonant calibrate` made of this model; generations use it where `readoutScale` asks for it. */
  readonly alignment?: string | undefined;
  /** What the model calls itself; what `model` says by default. */
  readonly name?: string | undefined;
  /** Told of what is fetched from a hub. */
  readonly onFetch?: HubOptions["onProgress"];
}

/**
 * Finds a device, loads a model onto it, and returns it ready to generate.
 * @throws ResonantError naming what is missing or wrong, and the fix
 */
export async function loadModel(options: OpenOptions = {}): Promise<Model> {
  const { model, adapters, alignment, name, device, onDownload, onFetch, dawn, ...load } = options;
  const onFallback = (reason: ResonantError) =>
    load.onRemark?.(`${reason.message}: what was fetched before is used`);
  const folder =
    model === undefined
      ? await defaultModelFolder()
      : await resolveModel(model, { onProgress: onFetch, onFallback });
  const files = await openModelFolder(folder, adapters, alignment);
  try {
    const adapter = await requestAdapter({ device, dawn, onProgress: onDownload });
    const gpu = await openDevice(adapter, load.onRemark);
    const called = name ?? model ?? `resonant-${basename(folder)}`;
    return await Model.load(gpu, { ...files, name: called }, load);
  } finally {
    await files.close();
  }
}

/**
 * A device of an adapter, tuned as `resonant tune` measured it, if it did.
 * @throws ResonantError `device_lost` if the adapter gives no device
 */
export async function openDevice(adapter: GPUAdapter, onRemark?: (remark: string) => void): Promise<Gpu> {
  return Gpu.open(adapter, describeAdapter(adapter).name, await rememberedTuning(adapter, { onRemark }));
}
