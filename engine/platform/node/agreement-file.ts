import * as v from "valibot";
import type { Agreement } from "../../device/agreement.ts";
import { checkAgreement } from "../../device/check-agreement.ts";
import type { Gpu } from "../../device/gpu.ts";
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

const entry = v.object({ ...identity, differing: v.array(v.string()) });
type Entry = v.InferOutput<typeof entry>;

const file = {
  name: "agreement.json",
  schema: v.object({ agreements: v.array(entry) }),
  instead: "The check is made again",
};

/**
 * What {@link checkAgreement} found on an adapter with this version of the package: as remembered in the cache folder, beside
 * the tuning, else checked now and remembered there. A file that cannot be used or written is named by `onRemark`.
 * @param check takes the place of the check, in tests
 * @throws ResonantError as `checkAgreement`
 */
export async function agreementOf(
  gpu: Gpu,
  { info }: Pick<GPUAdapter, "info">,
  options: DeviceFileOptions = {},
  check: (gpu: Gpu) => Promise<Agreement> = checkAgreement,
): Promise<Agreement> {
  const { env, onRemark } = options;
  const isOf = isEntryOf(info, options);
  for (const folder of cacheFolders(env)) {
    const found = (await entriesIn(folder, options)).find(isOf);
    if (found) return { shownBy: "check", differing: found.differing };
  }
  const agreement = await check(gpu);
  if (agreement.differing.length > 0) {
    onRemark?.(
      `${gpu.name}: tiles of rows give other bits than single rows (${agreement.differing.join(", ")}). Batches are decoded a row at a time`,
    );
  }
  try {
    const folder = await writableCacheFolder(env);
    const others = (await entriesIn(folder, options)).filter((each) => !isOf(each));
    const agreements = [...others, { ...identityOf(info, options), differing: [...agreement.differing] }];
    await write(folder, agreements);
  } catch (error) {
    onRemark?.(`the check of this device cannot be remembered: ${(error as Error).message}`);
  }
  return agreement;
}

/**
 * Forgets what the check found on an adapter: where it is next used, it is checked again.
 * @returns whether anything was remembered
 * @throws ResonantError `invalid_argument` if a file cannot be written
 */
export function forgetAgreement(
  { info }: Pick<GPUAdapter, "info">,
  options: DeviceFileOptions = {},
): Promise<boolean> {
  return forgetEntries(info, options, (folder) => entriesIn(folder, options), write);
}

const entriesIn = async (folder: string, options: DeviceFileOptions): Promise<Entry[]> =>
  (await readDeviceFile(folder, file, options))?.agreements ?? [];

const write = (folder: string, agreements: readonly Entry[]): Promise<void> =>
  writeDeviceFile(folder, file.name, { agreements });
