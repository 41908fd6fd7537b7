import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import packageJson from "../../../package.json" with { type: "json" };
import { writeFileAtomically } from "../../../weights/node/file.ts";
import type { Agreement } from "../../device/agreement.ts";
import { checkAgreement } from "../../device/check-agreement.ts";
import type { Gpu } from "../../device/gpu.ts";
import { cacheFolders, isTrustedFolder, writableCacheFolder } from "./cache-folder.ts";
import type { TuningFileOptions } from "./tuning-file.ts";

const FILE = "agreement.json";

const entry = v.object({
  vendor: v.string(),
  architecture: v.string(),
  device: v.string(),
  description: v.string(),
  version: v.string(),
  differing: v.array(v.string()),
});
const agreementFile = v.object({ agreements: v.array(entry) });
type Entry = v.InferOutput<typeof entry>;

/**
 * What {@link checkAgreement} found on an adapter with this version of the package: as remembered in the cache folder, beside
 * the tuning, else checked now and remembered there. A file that cannot be used or written is named by `onRemark`.
 * @param check takes the place of the check, in tests
 * @throws ResonantError as `checkAgreement`
 */
export async function agreementOf(
  gpu: Gpu,
  { info }: Pick<GPUAdapter, "info">,
  options: TuningFileOptions = {},
  check: (gpu: Gpu) => Promise<Agreement> = checkAgreement,
): Promise<Agreement> {
  const { env, onRemark, version = packageJson.version } = options;
  const { vendor, architecture, device, description } = info;
  const identity = { vendor, architecture, device, description, version };
  const isOf = (of: Entry): boolean =>
    Object.entries(identity).every(([key, value]) => of[key as keyof typeof identity] === value);
  for (const folder of cacheFolders(env)) {
    const found = (await entriesIn(folder, onRemark)).find(isOf);
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
    const others = (await entriesIn(folder, onRemark)).filter((each) => !isOf(each));
    const agreements = [...others, { ...identity, differing: [...agreement.differing] }];
    await writeFileAtomically(join(folder, FILE), chunks(`${JSON.stringify({ agreements }, null, 2)}\n`));
  } catch (error) {
    onRemark?.(`the check of this device cannot be remembered: ${(error as Error).message}`);
  }
  return agreement;
}

async function entriesIn(folder: string, onRemark: TuningFileOptions["onRemark"]): Promise<Entry[]> {
  const path = join(folder, FILE);
  try {
    if (!(await isTrustedFolder(folder))) return [];
    return v.parse(agreementFile, JSON.parse(await readFile(path, "utf8"))).agreements;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    onRemark?.(`${path} is not used: ${(error as Error).message}. The check is made again`);
    return [];
  }
}

async function* chunks(text: string): AsyncGenerator<Uint8Array> {
  yield new TextEncoder().encode(text);
}
