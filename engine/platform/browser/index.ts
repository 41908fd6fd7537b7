import { blobSource, bytesSource } from "../../../weights/byte-source.ts";
import { openTensorFile } from "../../../weights/open.ts";
import { ResonantError } from "../../errors.ts";
import { Gpu } from "../../gpu.ts";
import { type LoadOptions, Model, type ModelFiles } from "../../model.ts";
import { requestAdapter } from "./device.ts";

export { ResonantError } from "../../errors.ts";
export { collect, type Finish, type GenerateOptions, type Piece } from "../../generate.ts";
export { Gpu } from "../../gpu.ts";
export { type LoadOptions, Model, type ModelFiles } from "../../model.ts";
export type { Stream } from "../../stream.ts";
export { requestAdapter } from "./device.ts";

/**
 * Loads a model in a page, from the URL of its folder or from dropped files by name.
 * @throws ResonantError naming what is missing or wrong, and the fix
 */
export async function loadModel(
  from: string | URL | ReadonlyMap<string, Blob>,
  options: LoadOptions = {},
): Promise<Model> {
  const gpu = await Gpu.open(await requestAdapter());
  return Model.load(gpu, await openModel(from), options);
}

/** A model's files from the URL of their folder (its end, a slash, may be left out) or from `Blob`s by name. */
export async function openModel(from: string | URL | ReadonlyMap<string, Blob>): Promise<ModelFiles> {
  const get =
    from instanceof Map ? blobsOf(from) : fetching(new URL(`${from}`.replace(/\/?$/, "/"), location.href));
  const json = async (name: string): Promise<unknown> => {
    const blob = await get(name);
    if (!blob) return null;
    try {
      return JSON.parse(await blob.text());
    } catch (cause) {
      throw new ResonantError("invalid_file", "it is no JSON", { where: name, cause });
    }
  };
  const weights = await get("model.safetensors");
  if (!weights) throw new ResonantError("invalid_file", "it is missing", { where: "model.safetensors" });
  // One copy in memory reads faster than a Blob, where it is small.
  const source =
    weights.size < 2 ** 28
      ? bytesSource("model.safetensors", new Uint8Array(await weights.arrayBuffer()))
      : blobSource("model.safetensors", weights);
  return {
    name: from instanceof Map ? "dropped files" : `${from}`,
    config: await json("config.json"),
    tensors: await openTensorFile(source),
    tokenizer: await json("tokenizer.json"),
    tokenizerConfig: await json("tokenizer_config.json"),
    chatTemplate: await (await get("chat_template.jinja"))?.text(),
  };
}

type Get = (name: string) => Promise<Blob | undefined>;

const blobsOf =
  (blobs: ReadonlyMap<string, Blob>): Get =>
  async (name) =>
    blobs.get(name);

const fetching =
  (folder: URL): Get =>
  async (name) => {
    const url = new URL(name, folder);
    const response = await fetch(url);
    if (response.status === 404) return undefined;
    if (!response.ok) throw new ResonantError("invalid_file", `HTTP ${response.status}`, { where: url.href });
    return response.blob();
  };
