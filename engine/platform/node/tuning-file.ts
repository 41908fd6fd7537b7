import { join } from "node:path";
import * as v from "valibot";
import {
  mostSharedLoadLanes,
  rowsPerWorkgroupChoices,
  sharedLoadLanesChoices,
  type Tuning,
  tiledDecodeFromChoices,
} from "../../device/tuning.ts";
import { cacheFolders, writableCacheFolder } from "./cache-folder.ts";
import {
  type DeviceFileOptions,
  forgetEntries,
  identity,
  identityOf,
  isEntryOf,
  readDeviceFile,
  writeDeviceFile,
} from "./device-file.ts";

const entry = v.object({
  ...identity,
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
type Entry = v.InferOutput<typeof entry>;

const file = {
  name: "tuning.json",
  schema: v.object({ tunings: v.array(entry) }),
  instead: "`resonant tune` writes a new one",
};

/**
 * The tuning that this version of the package measured on an adapter, if it is remembered and fits the adapter. Never
 * fails: if a file cannot be used, `onRemark` says why.
 */
export async function rememberedTuning(
  { info, features }: Pick<GPUAdapter, "info" | "features">,
  options: DeviceFileOptions = {},
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
  options: DeviceFileOptions = {},
): Promise<string> {
  const folder = await writableCacheFolder(options.env);
  const isOf = isEntryOf(info, options);
  const others = (await entriesIn(folder, options)).filter((each) => !isOf(each));
  await write(folder, [...others, { ...identityOf(info, options), tuning }]);
  return join(folder, file.name);
}

/**
 * Forgets an adapter's tuning.
 * @returns whether there was one
 * @throws ResonantError `invalid_argument` if a file cannot be written
 */
export function forgetTuning(
  { info }: Pick<GPUAdapter, "info">,
  options: DeviceFileOptions = {},
): Promise<boolean> {
  return forgetEntries(info, options, (folder) => entriesIn(folder, options), write);
}

/** A tuning as files spell it: these keys stay, so that older files can still be read. */
export const storedTuning = (tuning: Tuning) => ({
  share: tuning.sharedLoadLanes,
  products: tuning.rowsPerWorkgroup,
  manyRows: tuning.tiledDecodeFrom,
});

const entriesIn = async (folder: string, options: DeviceFileOptions): Promise<Entry[]> =>
  (await readDeviceFile(folder, file, options))?.tunings ?? [];

async function write(folder: string, tunings: readonly Entry[]): Promise<void> {
  const stored = tunings.map(({ tuning, ...of }) => ({ ...of, tuning: storedTuning(tuning) }));
  await writeDeviceFile(folder, file.name, { tunings: stored });
}
