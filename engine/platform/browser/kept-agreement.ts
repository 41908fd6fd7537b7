import { Kernel } from "../../../kernels/kernel.ts";
import type { Agreement } from "../../device/agreement.ts";
import { checkAgreement } from "../../device/check-agreement.ts";
import type { Gpu } from "../../device/gpu.ts";

/** The cache for what was found on devices. */
const CACHE = "resonant-devices";

/**
 * What {@link checkAgreement} found on a device with these kernels: as kept in the browser's Cache API, else checked now, and
 * kept there if the page may store anything.
 * @param check takes the place of the check, in tests
 * @throws ResonantError as `checkAgreement`
 */
export async function agreementOf(
  gpu: Gpu,
  check: (gpu: Gpu) => Promise<Agreement> = checkAgreement,
): Promise<Agreement> {
  const cache = await openCache();
  const key = keyOf(gpu);
  const kept = await cache?.match(key).catch(() => undefined);
  const differing: unknown = await kept?.json().catch(() => undefined);
  if (isStrings(differing)) return { shownBy: "check", differing };
  const agreement = await check(gpu);
  await cache?.put(key, Response.json(agreement.differing)).catch(() => undefined); // then it is checked next time too
  return agreement;
}

const isStrings = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((each) => typeof each === "string");

/** The URL that stands for a device and these kernels; a cache takes only URLs of the web. */
function keyOf({ device }: Gpu): string {
  const { vendor = "", architecture = "", device: name = "", description = "" } = device.adapterInfo ?? {};
  const parts = { vendor, architecture, name, description, kernels: `${hash(Kernel.all)}` };
  return `https://device.invalid/?${new URLSearchParams(parts)}`;
}

/** FNV-1a of the kernels' texts. */
function hash(kernels: readonly Kernel[]): number {
  let value = 0x811c9dc5;
  for (const { code } of kernels) {
    for (let i = 0; i < code.length; i++) value = Math.imul(value ^ code.charCodeAt(i), 0x01000193);
  }
  return value >>> 0;
}

async function openCache(): Promise<Cache | undefined> {
  try {
    return await (globalThis as { caches?: CacheStorage }).caches?.open(CACHE);
  } catch {
    return undefined; // the page is not from a secure origin, or may not store anything
  }
}
