import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type FileSource, isFolder, openFile } from "../../../weights/node-file.ts";
import { openTensorFile } from "../../../weights/open.ts";
import { joinTensorFiles, shardsOf } from "../../../weights/sharded.ts";
import type { TensorFile } from "../../../weights/tensor-file.ts";
import { ResonantError } from "../../errors.ts";
import type { ModelFiles } from "../../model.ts";

/** The model that runs when none is named; two folders up from the sources, one from the bundle. */
export async function defaultModelFolder(): Promise<string> {
  for (const place of ["../weights/shakespeare", "../../../weights/shakespeare"]) {
    const folder = fileURLToPath(new URL(place, import.meta.url));
    if (await isFolder(folder)) return folder;
  }
  throw new ResonantError("invalid_file", "the default model is missing from this installation", {
    where: "weights/shakespeare",
    fix: "Install the package again, or name a model",
  });
}

/** A model's files, open; close them when it is loaded. */
export type OpenModelFiles = ModelFiles & { close(): Promise<void> };

/**
 * Opens a model's folder: `config.json`; `model.safetensors`, or the shards that `model.safetensors.index.json` names;
 * `tokenizer.json` with `tokenizer_config.json`, and `chat_template.jinja`, if there.
 * @param adapters a checkpoint of adapters, for a base model
 * @param alignment a file of `resonant calibrate`
 * @throws ResonantError `invalid_file` naming the file that is missing or no JSON
 */
export async function openModelFolder(
  folder: string,
  adapters?: string,
  alignment?: string,
): Promise<OpenModelFiles> {
  if (!(await isFolder(folder))) {
    throw new ResonantError("invalid_argument", "there is no such folder", {
      where: folder,
      fix: "Name a folder with config.json and model.safetensors",
    });
  }
  const config = await readJson(join(folder, "config.json"));
  const tokenizer = await readJson(join(folder, "tokenizer.json"), "optional");
  const tokenizerConfig = await readJson(join(folder, "tokenizer_config.json"), "optional");
  const chatTemplate = await readText(join(folder, "chat_template.jinja"), "optional");
  const index = await readJson(join(folder, "model.safetensors.index.json"), "optional");
  const names =
    index === null ? ["model.safetensors"] : shardsOf(index, join(folder, "model.safetensors.index.json"));
  const sources: FileSource[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(sources.map((source) => source.close()));
  };
  const open = async (path: string): Promise<TensorFile> => {
    const source = await openFile(path);
    sources.push(source);
    return openTensorFile(source);
  };
  try {
    const shards: TensorFile[] = [];
    for (const name of names) shards.push(await open(join(folder, name)));
    const tensors = shards.length === 1 ? shards[0]! : joinTensorFiles(folder, shards);
    const checkpoint = adapters === undefined ? undefined : await open(adapters);
    const aligned = alignment === undefined ? undefined : await open(alignment);
    const text = { tokenizer, tokenizerConfig, chatTemplate };
    return { name: folder, config, tensors, adapters: checkpoint, alignment: aligned, ...text, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function readText(path: string, missing?: "optional"): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if (missing && (cause as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new ResonantError("invalid_file", `it cannot be read (${(cause as Error).message})`, {
      where: path,
      cause,
    });
  }
}

async function readJson(path: string, missing?: "optional"): Promise<unknown> {
  const text = await readText(path, missing);
  if (text === null) return null;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ResonantError("invalid_file", `it is no JSON (${(cause as Error).message})`, {
      where: path,
      cause,
    });
  }
}
