import { Gpu } from "../../device/gpu.ts";
import { type LoadOptions, Model, type ModelFiles } from "../../model.ts";
import type { LoadProgress } from "../../weights.ts";
import { openModelFiles } from "../model-folder.ts";
import { requestAdapter } from "./device.ts";
import { DroppedFolder } from "./dropped-folder.ts";
import { agreementOf } from "./kept-agreement.ts";
import { type FetchOptions, ServedFolder } from "./served-folder.ts";

export * from "../library.ts";
export { requestAdapter } from "./device.ts";
export type { DownloadProgress } from "./download-meter.ts";
export { forgetModel, keptBytes } from "./kept-files.ts";

/** Where a model is: the URL of its folder, or a dropped folder's files by name. */
export type ModelSource = string | URL | ReadonlyMap<string, Blob>;

/** Where a model's files come from. */
export interface FilesOptions extends FetchOptions {
  /** A checkpoint of adapters (.pt or safetensors) for a base model: a file in its folder, or a URL. */
  readonly adapters?: string | URL | undefined;
  /** A file that `resonant calibrate` made of this model; generation uses it if `readoutScale` is set. */
  readonly alignment?: string | URL | undefined;
  /** The model's name; by default its folder. */
  readonly name?: string | undefined;
}

/** How to load a model in a page or worker. */
export interface OpenOptions extends FilesOptions, Omit<LoadOptions, "onProgress" | "onRemark"> {
  /** The device to load it onto; by default a new one, which is the model's `gpu`. */
  readonly gpu?: Gpu | undefined;
  /** Called for each tensor that is on its way to the GPU. */
  readonly onUpload?: LoadProgress | undefined;
}

/**
 * Loads a model from the URL of its folder, or from the files of a dropped folder by name. The first time that a page uses a
 * GPU, it also checks there that batches give the bits of single rows (`model.gpu.agreement`).
 * @throws ResonantError naming what is missing or wrong, and the fix; the signal's reason
 */
export async function loadModel(from: ModelSource, options: OpenOptions = {}): Promise<Model> {
  const { gpu: given, onUpload, signal } = options;
  signal?.throwIfAborted();
  const gpu = given ?? (await Gpu.open(await requestAdapter()));
  try {
    // Checked while files come: both wait for something else.
    const checked = gpu.agreement.shownBy === "nothing" ? agreementOf(gpu) : gpu.agreement;
    const [files, agreement] = await Promise.all([openModel(from, options), checked]);
    gpu.agreement = agreement;
    const onProgress: LoadProgress = (done, total, name) => {
      signal?.throwIfAborted();
      onUpload?.(done, total, name);
    };
    return await Model.load(gpu, files, { ...loadOptions(options), onProgress });
  } catch (error) {
    if (!given) gpu.destroy();
    throw error;
  }
}

/**
 * A model's files: `config.json`; `model.safetensors`, or the shards that `model.safetensors.index.json` names; and, if
 * they exist, `tokenizer.json` with `tokenizer_config.json`, and `chat_template.jinja`.
 * @throws ResonantError naming what is missing or wrong, and the fix; the signal's reason
 */
export async function openModel(from: ModelSource, options: FilesOptions = {}): Promise<ModelFiles> {
  options.signal?.throwIfAborted();
  const folder = isUrl(from) ? await ServedFolder.open(from, options) : new DroppedFolder(from);
  const at = (file: string | URL | undefined) => (file === undefined ? undefined : folder.at(`${file}`));
  const files = await openModelFiles(folder, {
    adapters: at(options.adapters),
    alignment: at(options.alignment),
  });
  if (folder instanceof ServedFolder) await folder.keep();
  return { ...files, name: options.name ?? files.name };
}

const isUrl = (from: ModelSource): from is string | URL => typeof from === "string" || from instanceof URL;

function loadOptions(options: OpenOptions): LoadOptions {
  const { adapters, alignment, name, gpu, onUpload, onProgress, cache, signal, onRemark, ...load } = options;
  return onRemark ? { ...load, onRemark } : load;
}
