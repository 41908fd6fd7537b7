import { basename } from "node:path";
import type { ResonantError } from "../../../common/errors.ts";
import { openFile } from "../../../weights/node/file.ts";
import type { HubOptions } from "../../../weights/node/hub/fetch.ts";
import { resolveModel } from "../../../weights/node/hub/model.ts";
import { Gpu } from "../../device/gpu.ts";
import { type LoadOptions, Model } from "../../model.ts";
import { agreementOf } from "./agreement-file.ts";
import { type AdapterOptions, describeAdapter, requestAdapter } from "./device.ts";
import { defaultModelFolder, openModelFolder } from "./files.ts";
import { rememberedTuning } from "./tuning-file.ts";

export * from "../library.ts";
export { describeAdapter, listAdapters, requestAdapter } from "./device.ts";
export { openModelFolder } from "./files.ts";

/** How to load a model in Node. */
export interface OpenOptions extends LoadOptions, Omit<AdapterOptions, "onProgress"> {
  /** Called during the download of the software driver, if there is one. */
  readonly onDownload?: AdapterOptions["onProgress"];
  /** A folder, or a model on a hub as `owner/name[@revision]`; undefined: the model that comes with this package. */
  readonly model?: string | undefined;
  /** A checkpoint of adapters (.pt or safetensors) for a base model. */
  readonly adapters?: string | undefined;
  /** A file that `resonant calibrate` made of this model; generation uses it if `readoutScale` is set. */
  readonly alignment?: string | undefined;
  /** The model's name; by default `model`. */
  readonly name?: string | undefined;
  /** Called while files are fetched from a hub. */
  readonly onFetch?: HubOptions["onProgress"];
}

/**
 * Finds a device, loads a model onto it, and returns it ready to generate.
 * @throws ResonantError naming what is missing or wrong, and the fix
 */
export async function loadModel(options: OpenOptions = {}): Promise<Model> {
  const { model, adapters, alignment, name, device, onDownload, onFetch, dawn, unchecked, ...load } = options;
  const onFallback = (reason: ResonantError) =>
    load.onRemark?.(`${reason.message}: what was fetched before is used`);
  // A wrong path is said before gigabytes are fetched.
  for (const path of [adapters, alignment]) if (path !== undefined) await (await openFile(path)).close();
  const folder =
    model === undefined
      ? await defaultModelFolder()
      : await resolveModel(model, { onProgress: onFetch, onFallback });
  const files = await openModelFolder(folder, adapters, alignment);
  try {
    const adapter = await requestAdapter({ device, dawn, unchecked, onProgress: onDownload });
    const gpu = await openDevice(adapter, load.onRemark);
    const called = name ?? model ?? `resonant-${basename(folder)}`;
    return await Model.load(gpu, { ...files, name: called }, load);
  } finally {
    await files.close();
  }
}

/**
 * Opens a device of an adapter, with the tuning that `resonant tune` measured, if it did. The first time that this version of
 * the package uses a GPU, it checks that rows and tiles give the same bits there, and remembers the result.
 * @throws ResonantError `device_lost` if the adapter gives no device; as `checkAgreement`
 */
export async function openDevice(adapter: GPUAdapter, onRemark?: (remark: string) => void): Promise<Gpu> {
  const gpu = await Gpu.open(
    adapter,
    describeAdapter(adapter).name,
    await rememberedTuning(adapter, { onRemark }),
  );
  try {
    if (gpu.kind !== "software") gpu.agreement = await agreementOf(gpu, adapter, { onRemark });
    return gpu;
  } catch (error) {
    gpu.destroy();
    throw error;
  }
}
