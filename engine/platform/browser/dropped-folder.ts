import { ResonantError } from "../../../common/errors.ts";
import { openTensorFile } from "../../../weights/open.ts";
import type { TensorFile } from "../../../weights/tensor-file.ts";
import type { ModelFolder } from "../model-folder.ts";
import { sourceOf } from "./blob-bytes.ts";
import { startThread } from "./threads.ts";

const MOST_LISTED = 12;

/**
 * Files by name, such as those of a dropped folder. If the names have folders, the model is in the folder of the outermost
 * `config.json`.
 */
export class DroppedFolder implements ModelFolder {
  readonly name: string;
  readonly startThread = startThread;
  readonly #files: ReadonlyMap<string, Blob>;
  readonly #folder: string;

  /** @throws ResonantError `invalid_argument` if several folders could be the model's */
  constructor(files: ReadonlyMap<string, Blob>) {
    this.#files = files;
    this.#folder = modelFolder([...files.keys()]);
    this.name = this.#folder.slice(0, -1) || "dropped files";
  }

  at(file: string): string {
    return this.#folder + file;
  }

  async text(path: string): Promise<string | null> {
    return (await this.#files.get(path)?.text()) ?? null;
  }

  lacks(path: string): ResonantError {
    const names = [...this.#files.keys()];
    const more = names.length > MOST_LISTED ? `, and ${names.length - MOST_LISTED} more` : "";
    const found = names.length === 0 ? "no files" : `only ${names.slice(0, MOST_LISTED).join(", ")}${more}`;
    return new ResonantError("invalid_file", `it is missing; there are ${found}`, {
      where: path,
      fix: "Give the whole folder of a model, with config.json and model.safetensors",
    });
  }

  open(paths: readonly string[]): Promise<TensorFile[]> {
    return Promise.all(
      paths.map(async (path) => {
        const file = this.#files.get(path);
        if (!file) throw this.lacks(path);
        return openTensorFile(await sourceOf(path, file), startThread);
      }),
    );
  }
}

/** The folder, with a slash at its end, whose `config.json` is the outermost; "" if there is none. */
function modelFolder(names: readonly string[]): string {
  const depth = (folder: string): number => folder.split("/").length;
  const folders = names
    .filter((name) => /(^|\/)config\.json$/.test(name))
    .map((name) => name.slice(0, -"config.json".length))
    .sort((a, b) => depth(a) - depth(b));
  const [first = "", second] = folders;
  if (second === undefined || depth(second) > depth(first)) return first;
  throw new ResonantError("invalid_argument", `there are two models: ${first} and ${second}`, {
    option: "from",
    fix: "Give the folder of one model",
  });
}
