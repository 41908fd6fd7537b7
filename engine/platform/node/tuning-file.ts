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

/** How to find what is remembered. */
export interface TuningFileOptions {
  /** The environment that names the cache folder; the process's by default. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** Of this package; another one's measurements are of other kernels. */
  readonly version?: string | undefined;
  /** Told why a file is not used. */
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
 * What was measured on an adapter by this version of the package, if it is remembered and fits the adapter. Never fails: a
 * file that cannot be used is told to `onRemark`.
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
 * Remembers a tuning of an adapter, in the place of one before it. A file that cannot be read is replaced.
 * @returns the file
 * @throws ResonantError `no_adapter` where no cache folder can be written, `invalid_argument` where the file cannot
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
 * @throws ResonantError `invalid_argument` where a file cannot be written
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
    onRemark?.(`${path} is not used: ${(error as Error).message}. \`resonant tune\` writes it anew`);
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
