import { ResonantError } from "../../common/errors.ts";
import type { StartThread } from "../../weights/apart/thread.ts";
import { joinTensorFiles, shardsOf } from "../../weights/sharded.ts";
import type { TensorFile } from "../../weights/tensor-file.ts";
import type { ModelFiles } from "../model.ts";

/** A folder with a model's files: on disk, at a URL, or dropped on a page. */
export interface ModelFolder {
  /** The name shown in messages. */
  readonly name: string;
  /** Starts a thread for what a model brings. */
  readonly startThread: StartThread;
  /** The address of a file, which opens it and names it in errors: a path or a URL. */
  at(file: string): string;
  /** A file as text; null if there is none. */
  text(at: string): Promise<string | null>;
  /** The error for a file that must exist and does not. */
  lacks(at: string): ResonantError;
  /** Opens files of tensors. @throws ResonantError naming the file that is missing or wrong */
  open(at: readonly string[]): Promise<TensorFile[]>;
}

const INDEX = "model.safetensors.index.json";

/**
 * A model's files: `config.json`; `model.safetensors`, or the shards that `model.safetensors.index.json` names; and, if
 * they exist, `tokenizer.json` with `tokenizer_config.json`, and `chat_template.jinja`.
 * @param more addresses of checkpoints besides the model's own weights
 * @throws ResonantError `invalid_file` naming the file that is missing or not JSON
 */
export async function openModelFiles(
  folder: ModelFolder,
  more: { readonly adapters?: string | undefined; readonly alignment?: string | undefined } = {},
): Promise<ModelFiles> {
  const json = async (file: string, required = false): Promise<unknown> => {
    const at = folder.at(file);
    const text = await folder.text(at);
    if (text !== null) return parseJson(text, at);
    if (required) throw folder.lacks(at);
    return null;
  };
  const config = await json("config.json", true); // first, so that the error for a wrong folder names it
  const [index, tokenizer, tokenizerConfig, chatTemplate] = await Promise.all([
    json(INDEX),
    json("tokenizer.json"),
    json("tokenizer_config.json"),
    folder.text(folder.at("chat_template.jinja")),
  ]);
  const shards = index === null ? ["model.safetensors"] : shardsOf(index, folder.at(INDEX));
  const { adapters, alignment } = more;
  const beside = [adapters, alignment].filter((at) => at !== undefined);
  const opened = await folder.open([...shards.map((shard) => folder.at(shard)), ...beside]);
  const parts = opened.splice(0, shards.length);
  return {
    name: folder.name,
    startThread: folder.startThread,
    config,
    tensors: parts.length === 1 ? parts[0]! : joinTensorFiles(folder.name, parts),
    adapters: adapters === undefined ? undefined : opened.shift(),
    alignment: alignment === undefined ? undefined : opened.shift(),
    tokenizer,
    tokenizerConfig,
    chatTemplate,
  };
}

function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ResonantError("invalid_file", `it is not JSON (${(cause as Error).message})`, { where, cause });
  }
}
