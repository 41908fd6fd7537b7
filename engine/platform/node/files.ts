import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openFile } from "../../../weights/node-file.ts";
import { openTensorFile } from "../../../weights/open.ts";
import { ResonantError } from "../../errors.ts";
import type { ModelFiles } from "../../model.ts";

/** The model that runs when none is named; two folders up from the sources, one from the bundle. */
export async function defaultModelFolder(): Promise<string> {
  for (const place of ["../weights/shakespeare", "../../../weights/shakespeare"]) {
    const folder = fileURLToPath(new URL(place, import.meta.url));
    if (
      await stat(folder).then(
        (found) => found.isDirectory(),
        () => false,
      )
    )
      return folder;
  }
  throw new ResonantError("invalid_file", "the default model is missing from this installation", {
    where: "weights/shakespeare",
    fix: "Install the package again, or name a model",
  });
}

/**
 * Opens a model's folder: `config.json`, `model.safetensors`, and `tokenizer.json` with `tokenizer_config.json` if
 * there. Close it when the model is loaded.
 * @throws ResonantError `invalid_file` naming the file that is missing or no JSON
 */
export async function openModelFolder(folder: string): Promise<ModelFiles & { close(): Promise<void> }> {
  if (
    !(await stat(folder).then(
      (found) => found.isDirectory(),
      () => false,
    ))
  ) {
    throw new ResonantError("invalid_argument", "there is no such folder", {
      where: folder,
      fix: "Name a folder with config.json and model.safetensors",
    });
  }
  const config = await readJson(join(folder, "config.json"));
  const tokenizer = await readJson(join(folder, "tokenizer.json"), "optional");
  const tokenizerConfig = await readJson(join(folder, "tokenizer_config.json"), "optional");
  const source = await openFile(join(folder, "model.safetensors"));
  try {
    const tensors = await openTensorFile(source);
    return { name: folder, config, tensors, tokenizer, tokenizerConfig, close: () => source.close() };
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function readJson(path: string, missing?: "optional"): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    if (missing && (cause as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new ResonantError("invalid_file", `it cannot be read (${(cause as Error).message})`, {
      where: path,
      cause,
    });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ResonantError("invalid_file", `it is no JSON (${(cause as Error).message})`, {
      where: path,
      cause,
    });
  }
}
