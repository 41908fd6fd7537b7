import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import packageJson from "../../../package.json" with { type: "json" };
import { writeFileAtomically } from "../../../weights/node/file.ts";
import { cacheFolders, isTrustedFolder } from "./cache-folder.ts";

/** How to find a file of what was found on devices. */
export interface DeviceFileOptions {
  /** The environment that names the cache folder; by default the process's. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** Version of this package; what another version found is of other kernels. */
  readonly version?: string | undefined;
  /** Called with the reason why a file is not used. */
  readonly onRemark?: ((remark: string) => void) | undefined;
}

/** The schema of {@link identityOf}. */
export const identity = {
  vendor: v.string(),
  architecture: v.string(),
  device: v.string(),
  description: v.string(),
  version: v.string(),
};
type Identity = Readonly<Record<keyof typeof identity, string>>;

/** An adapter and its driver, and the kernels that were tried on it. */
export const identityOf = (
  info: GPUAdapterInfo,
  { version = packageJson.version }: DeviceFileOptions,
): Identity => {
  const { vendor, architecture, device, description } = info;
  return { vendor, architecture, device, description, version };
};

/** Whether an entry of a file is of this adapter, its driver and these kernels. */
export function isEntryOf(info: GPUAdapterInfo, options: DeviceFileOptions): (entry: Identity) => boolean {
  const wanted = identityOf(info, options);
  const keys = Object.keys(identity) as (keyof Identity)[];
  return (entry) => keys.every((key) => entry[key] === wanted[key]);
}

/** A file in the cache folder: what it is called, what it holds, and what happens where it cannot be used. */
export interface DeviceFile<T> {
  readonly name: string;
  readonly schema: v.GenericSchema<unknown, T>;
  /** A sentence for the remark. */
  readonly instead: string;
}

/** What a file in `folder` holds; undefined, with a remark, if it cannot be used, and without one if it is not there. */
export async function readDeviceFile<T>(
  folder: string,
  { name, schema, instead }: DeviceFile<T>,
  { onRemark }: DeviceFileOptions,
): Promise<T | undefined> {
  const path = join(folder, name);
  try {
    if (!(await isTrustedFolder(folder))) return undefined;
    return v.parse(schema, JSON.parse(await readFile(path, "utf8")));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    onRemark?.(`${path} is not used: ${(error as Error).message}. ${instead}`);
    return undefined;
  }
}

/** @throws ResonantError `invalid_argument` if the file cannot be written */
export async function writeDeviceFile(folder: string, name: string, content: unknown): Promise<void> {
  await writeFileAtomically(join(folder, name), chunks(`${JSON.stringify(content, null, 2)}\n`));
}

/**
 * Forgets what was found on an adapter with these kernels, in every cache folder.
 * @param read gives what a folder's file holds
 * @param write replaces it
 * @returns whether there was anything
 */
export async function forgetEntries<E extends Identity>(
  info: GPUAdapterInfo,
  options: DeviceFileOptions,
  read: (folder: string) => Promise<readonly E[]>,
  write: (folder: string, entries: readonly E[]) => Promise<void>,
): Promise<boolean> {
  const isOf = isEntryOf(info, options);
  let forgot = false;
  for (const folder of cacheFolders(options.env)) {
    const entries = await read(folder);
    const others = entries.filter((each) => !isOf(each));
    if (others.length === entries.length) continue;
    await write(folder, others);
    forgot = true;
  }
  return forgot;
}

async function* chunks(text: string): AsyncGenerator<Uint8Array> {
  yield new TextEncoder().encode(text);
}
