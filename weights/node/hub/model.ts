import { readFile } from "node:fs/promises";
import { ResonantError } from "../../../common/errors.ts";
import { invalidFile, printable } from "../../refuse.ts";
import { shardsOf } from "../../sharded.ts";
import { isFolder } from "../file.ts";
import { type HubOptions, Snapshot } from "./fetch.ts";
import { isRepo } from "./names.ts";
import { fileSize } from "./partial.ts";

const SMALL_FILES = [
  "tokenizer.json",
  "tokenizer_config.json",
  "generation_config.json",
  "chat_template.jinja",
] as const;
const WEIGHTS = "model.safetensors";
const INDEX = "model.safetensors.index.json";
/** The largest known ones have some 60 MB. */
const LONGEST_INDEX = 256 * 2 ** 20;

/**
 * The folder of a model: the folder of that name if there is one, else `owner/name` or `owner/name@revision`, fetched by
 * {@link fetchModel}.
 * @throws ResonantError `invalid_argument` if the name is neither; errors of fetchModel
 */
export async function resolveModel(
  name: string,
  options: Omit<HubOptions, "repo" | "revision"> = {},
): Promise<string> {
  if (await isFolder(name)) return name;
  const at = name.indexOf("@");
  const repo = at < 0 ? name : name.slice(0, at);
  if (repo.includes("/") && isRepo(repo))
    return fetchModel({ ...options, repo, revision: at < 0 ? undefined : name.slice(at + 1) });
  throw new ResonantError(
    "invalid_argument",
    "there is no such folder, and this is not the name of a model on a hub",
    {
      where: JSON.stringify(printable(name)),
      fix: "Name a folder, or a model as owner/name or owner/name@revision",
    },
  );
}

/**
 * Fetches the files of a model: `config.json`; the tokenizer's files and the chat template if they exist; and
 * `model.safetensors`, or the shards that `model.safetensors.index.json` names.
 * @returns the snapshot's folder
 * @throws ResonantError `invalid_file` if a file is missing, or the index names something that cannot be a shard; errors of
 * fetchFromHub
 */
export async function fetchModel(options: HubOptions): Promise<string> {
  const snapshot = await Snapshot.open(options);
  if (!(await snapshot.want("config.json"))) throw snapshot.lacks("config.json");
  for (const name of SMALL_FILES) await snapshot.want(name);
  if (!(await snapshot.want(WEIGHTS))) {
    if (!(await snapshot.want(INDEX))) throw snapshot.lacks(`${WEIGHTS} (or ${INDEX})`);
    const index = `${options.repo}/${INDEX}`;
    for (const shard of await readShards(await snapshot.bring(INDEX), index))
      if (!(await snapshot.want(shard))) throw snapshot.lacks(`${shard} (named in ${INDEX})`);
  }
  return snapshot.publish();
}

/** The files that the index at `path` names: see `weights/sharded.ts`; `where` is its name in errors. */
export async function readShards(path: string, where: string): Promise<string[]> {
  if (((await fileSize(path)) ?? 0) > LONGEST_INDEX)
    throw invalidFile(where, `it is longer than ${LONGEST_INDEX} bytes`);
  let index: unknown;
  try {
    index = JSON.parse(await readFile(path, "utf8"));
  } catch (cause) {
    throw invalidFile(where, `it is not JSON (${printable((cause as Error).message)})`, undefined, cause);
  }
  return shardsOf(index, where);
}
