import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ResonantError } from "../../../common/errors.ts";
import { type FileSource, isFolder, openFile } from "../../../weights/node/file.ts";
import { startThread } from "../../../weights/node/threads.ts";
import { openTensorFile } from "../../../weights/open.ts";
import type { TensorFile } from "../../../weights/tensor-file.ts";
import type { ModelFiles } from "../../model.ts";
import { type ModelFolder, openModelFiles } from "../model-folder.ts";

/** The model that is used when none is named: two folders up from the sources, one folder up from the bundle. */
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

/** A model's open files; close them when the model is loaded. */
export type OpenModelFiles = ModelFiles & { close(): Promise<void> };

/**
 * Opens a model's folder, as {@link openModelFiles} does.
 * @param adapters path of a checkpoint of adapters for a base model
 * @param alignment path of a file made by `resonant calibrate`
 * @throws ResonantError `invalid_file` naming the file that is missing or not JSON
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
  const sources: FileSource[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(sources.map((source) => source.close()));
  };
  const opened: ModelFolder = {
    name: folder,
    startThread,
    at: (file) => join(folder, file),
    text: readText,
    lacks: (where) => new ResonantError("invalid_file", "there is no such file", { where }),
    async open(paths) {
      const files: TensorFile[] = [];
      for (const path of paths) {
        const source = await openFile(path);
        sources.push(source);
        files.push(await openTensorFile(source, startThread));
      }
      return files;
    },
  };
  try {
    return { ...(await openModelFiles(opened, { adapters, alignment })), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A file's text; null if there is none. */
async function readText(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new ResonantError("invalid_file", `it cannot be read (${(cause as Error).message})`, {
      where: path,
      cause,
    });
  }
}
