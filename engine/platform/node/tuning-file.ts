import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import packageJson from "../../../package.json" with { type: "json" };
import { writeFileAtomically } from "../../../weights/node/file.ts";
import {
  mostSharedLoadLanes,
  rowsPerWorkgroupChoices,
  sharedLoadLanesChoices,
  type Tuning,
  tiledDecodeFromChoices,
} from "../../device/tuning.ts";
import { cacheFolders, isTrustedFolder, writableCacheFolder } from "./cache-folder.ts";

/** How to find the tuning file. */
export interface TuningFileOptions {
  /** The environment that names the cache folder; by default the process's. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** Version of this package; measurements of another version are of other kernels. */
  readonly version?: string | undefined;
  /** Called with the reason why a file is not used. */
  readonly onRemark?: ((remark: string) => void) | undefined;
}

const FILE = "tuning.json";

const entry = v.object({
  vendor: v.string(),
  architecture: v.string(),
  device: v.string(),
  description: v.string(),
  version: v.string(),
  tuning: v.pipe(
    v.object({
      share: v.picklist(sharedLoadLanesChoices),
      products: v.picklist(rowsPerWorkgroupChoices),
      manyRows: v.picklist(tiledDecodeFromChoices),
    }),
    v.transform(
      ({ share, products, manyRows }): Tuning => ({
        sharedLoadLanes: share,
        rowsPerWorkgroup: products,
        tiledDecodeFrom: manyRows,
      }),
    ),
  ),
});
const tuningFile = v.object({ tunings: v.array(entry) });
type Entry = v.InferOutput<typeof entry>;

/**
 * The tuning that this version of the package measured on an adapter, if it is remembered and fits the adapter. Never
 * fails: if a file cannot be used, `onRemark` says why.
 */
export async function rememberedTuning(
  { info, features }: Pick<GPUAdapter, "info" | "features">,
  options: TuningFileOptions = {},
): Promise<Tuning | undefined> {
  const isOf = isEntryOf(info, options);
  for (const folder of cacheFolders(options.env)) {
    const found = (await entriesIn(folder, options)).find(isOf);
    if (found && found.tuning.sharedLoadLanes <= mostSharedLoadLanes(features, info.subgroupMinSize))
      return found.tuning;
  }
  return undefined;
}

/**
 * Remembers the tuning of an adapter, replacing an earlier one. A file that cannot be read is replaced.
 * @returns the file
 * @throws ResonantError `no_adapter` if no cache folder can be written, `invalid_argument` if the file cannot be written
 */
export async function rememberTuning(
  { info }: Pick<GPUAdapter, "info">,
  tuning: Tuning,
  options: TuningFileOptions = {},
): Promise<string> {
  const folder = await writableCacheFolder(options.env);
  const isOf = isEntryOf(info, options);
  const others = (await entriesIn(folder, options)).filter((each) => !isOf(each));
  await write(folder, [...others, { ...identityOf(info, options), tuning }]);
  return join(folder, FILE);
}

/**
 * Forgets an adapter's tuning.
 * @returns whether there was one
 * @throws ResonantError `invalid_argument` if a file cannot be written
 */
export async function forgetTuning(
  { info }: Pick<GPUAdapter, "info">,
  options: TuningFileOptions = {},
): Promise<boolean> {
  const isOf = isEntryOf(info, options);
  let forgot = false;
  for (const folder of cacheFolders(options.env)) {
    const entries = await entriesIn(folder, options);
    const others = entries.filter((each) => !isOf(each));
    if (others.length === entries.length) continue;
    await write(folder, others);
    forgot = true;
  }
  return forgot;
}

/** A tuning as files spell it: these keys stay, so that older files can still be read. */
export const storedTuning = (tuning: Tuning) => ({
  share: tuning.sharedLoadLanes,
  products: tuning.rowsPerWorkgroup,
  manyRows: tuning.tiledDecodeFrom,
});

/** An adapter and its driver, and the kernels that were measured on it. */
const identityOf = (info: GPUAdapterInfo, { version = packageJson.version }: TuningFileOptions) => {
  const { vendor, architecture, device, description } = info;
  return { vendor, architecture, device, description, version };
};

function isEntryOf(info: GPUAdapterInfo, options: TuningFileOptions): (entry: Entry) => boolean {
  const identity = Object.entries(identityOf(info, options));
  return (entry) => identity.every(([key, value]) => entry[key as keyof typeof entry] === value);
}

async function entriesIn(folder: string, { onRemark }: TuningFileOptions): Promise<Entry[]> {
  const path = join(folder, FILE);
  try {
    if (!(await isTrustedFolder(folder))) return [];
    return v.parse(tuningFile, JSON.parse(await readFile(path, "utf8"))).tunings;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    onRemark?.(`${path} is not used: ${(error as Error).message}. \`resonant tune\` writes a new one`);
    return [];
  }
}

async function write(folder: string, tunings: readonly Entry[]): Promise<void> {
  const stored = tunings.map(({ tuning, ...of }) => ({ ...of, tuning: storedTuning(tuning) }));
  const text = `${JSON.stringify({ tunings: stored }, null, 2)}\n`;
  await writeFileAtomically(join(folder, FILE), chunks(text));
}

async function* chunks(text: string): AsyncGenerator<Uint8Array> {
  yield new TextEncoder().encode(text);
}
