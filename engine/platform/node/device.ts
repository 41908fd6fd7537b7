import { ResonantError } from "../../../common/errors.ts";
import { type AdapterDescription, describe } from "./adapter-info.ts";
import { type CreateGpu, type Implementation, loadImplementation } from "./dawn.ts";
import type { OnProgress } from "./npm-tarball.ts";
import { pollCalmly } from "./polling.ts";
import { withSoftwareDriver } from "./software-driver.ts";
import { hasSystemVulkanLoader } from "./vulkan-loader.ts";

export type { AdapterDescription } from "./adapter-info.ts";
export type { OnProgress } from "./npm-tarball.ts";

/** A hardware adapter, one through Metal, or a software adapter. */
export type DeviceChoice = "hardware" | "metal" | "software";

/** How to find an adapter. */
export interface AdapterOptions {
  /** Default: the best there is. */
  device?: DeviceChoice | undefined;
  /** Called during the download of the software driver, if there is one. */
  onProgress?: OnProgress | undefined;
  /** Options for Dawn, such as `disable-dawn-features=timestamp_quantization` for exact timings. */
  dawn?: readonly string[] | undefined;
  /**
   * Switches off Dawn's checks of every index and its zeroing of a workgroup's memory. These checks are what keeps a kernel
   * from reading memory of other programs when the model's files lie, so this is for files that you trust. Default false.
   */
  unchecked?: boolean | undefined;
}

/** Dawn's toggles for {@link AdapterOptions.unchecked}. */
const UNCHECKED = "enable-dawn-features=disable_robustness,disable_workgroup_init";

/** The options that Dawn gets. */
export const dawnOptions = ({
  dawn = [],
  unchecked = false,
}: Pick<AdapterOptions, "dawn" | "unchecked">): string[] => (unchecked ? [...dawn, UNCHECKED] : [...dawn]);

/**
 * Finds a WebGPU adapter through Dawn, and defines WebGPU's constants (`GPUBufferUsage` and so on) on `globalThis`. Node,
 * Bun and Deno load Dawn; a Deno that may not load addons uses its own WebGPU.
 * With no choice: a hardware adapter, else the system's software adapter, else SwiftShader, fetched once.
 * @throws ResonantError `no_adapter` saying what was found and what to install.
 */
export async function requestAdapter(options: AdapterOptions = {}): Promise<GPUAdapter> {
  const { device } = options;
  if (device === "metal" && process.platform !== "darwin") {
    throw new ResonantError("no_adapter", `Metal is on macOS only, and this is ${process.platform}`, {
      option: "device",
      fix: (name) => `Leave ${name("device")} out to get the best one`,
    });
  }
  const implementation = await loadImplementation();
  const found = await systemAdapters(implementation, dawnOptions(options));
  const wanted = found.find(({ kind }) => kind === (device === "software" ? "software" : "hardware"));
  const chosen = wanted ?? (device === undefined ? found[0] : undefined);
  if (chosen !== undefined) return keep(chosen);
  if (device === undefined || device === "software")
    return keep(await fetchedAdapter(implementation, options));
  throw new ResonantError("no_adapter", `no hardware adapter; ${whatWasFound(found)}`, {
    option: "device",
    fix: (name) => `${INSTALL_GPU}, or leave ${name("device")} out to compute in software`,
  });
}

/**
 * Describes every distinct adapter of this machine, starting with the one that {@link requestAdapter} would choose; if the
 * system has none, the fetched SwiftShader.
 * @throws ResonantError `no_adapter` if there is none at all
 */
export async function listAdapters(
  options: Omit<AdapterOptions, "device"> = {},
): Promise<AdapterDescription[]> {
  const implementation = await loadImplementation();
  const found = await systemAdapters(implementation, dawnOptions(options));
  if (found.length === 0) found.push(await fetchedAdapter(implementation, options));
  const hardwareFirst = (a: Found) => (a.kind === "hardware" ? 0 : 1);
  found.sort((a, b) => hardwareFirst(a) - hardwareFirst(b));
  return found.map(({ adapter, listed }) => describe(adapter, listed));
}

/** Describes an adapter that {@link requestAdapter} returned. */
export function describeAdapter(adapter: GPUAdapter): AdapterDescription {
  return describe(adapter, kept.get(adapter)?.listed);
}

type Listed = { name: string; backend: string };
type Found = { gpu: GPU; adapter: GPUAdapter; listed: Listed | undefined; kind: AdapterDescription["kind"] };

const INSTALL_GPU = "Install the GPU's driver and, on Linux, libvulkan1";
const INSTALL_ANY = `${INSTALL_GPU}; or a software driver, mesa-vulkan-drivers 23.2 or newer (on Debian 12 from bookworm-backports)`;

// Dawn lives only as long as the GPU object it came from.
const kept = new Map<GPUAdapter, Found>();

function keep(found: Found): GPUAdapter {
  if (found.kind === "software") pollCalmly();
  kept.set(found.adapter, found);
  return found.adapter;
}

/** The system's adapters. On Linux without a Vulkan loader, Dawn is not asked. */
async function systemAdapters({ create, name }: Implementation, dawn: readonly string[]): Promise<Found[]> {
  return name === "dawn" && hasNoLoader() ? [] : surveyAdapters(create, dawn);
}

/** Every adapter that Dawn lists, the system's preferred one first. */
async function surveyAdapters(create: CreateGpu, dawn: readonly string[]): Promise<Found[]> {
  const found = new Map<string, Found>();
  const names = await listNames(create);
  const add = async (options: string[], request: GPURequestAdapterOptions, listed?: Listed) => {
    const gpu = create([...dawn, ...options]);
    const adapter = await gpu.requestAdapter(request).catch(() => null);
    if (!adapter) return;
    const name = listed ?? names.find((candidate) => slug(candidate.name) === slug(adapter.info.device));
    const key = `${adapter.info.vendor} ${slug(adapter.info.device)}`;
    if (!found.has(key)) found.set(key, { gpu, adapter, listed: name, kind: describe(adapter, name).kind });
  };
  await add([], { powerPreference: "high-performance" });
  for (const listed of names) await add([`adapter=${listed.name}`, `backend=${listed.backend}`], {}, listed);
  return [...found.values()];
}

/** Dawn gives the names of its adapters only in the error for a name that does not exist. */
async function listNames(create: CreateGpu): Promise<Listed[]> {
  try {
    await create(["adapter=\u0001"]).requestAdapter();
    return [];
  } catch (error) {
    const listing = error instanceof Error ? error.message : "";
    const lines = listing.matchAll(/backend: '([^'\n]*)', name: '([^\n]*)'$/gm);
    return Array.from(lines, ([, backend = "", name = ""]) => ({ backend, name }));
  }
}

async function fetchedAdapter({ create, name }: Implementation, options: AdapterOptions): Promise<Found> {
  if (name === "runtime") {
    throw new ResonantError("no_adapter", "this runtime's own WebGPU finds no adapter", {
      fix: `Let it load Dawn, which brings a software driver: --allow-ffi, or -A. Or: ${INSTALL_ANY}`,
    });
  }
  try {
    const [found] = await withSoftwareDriver(() => surveyAdapters(create, dawnOptions(options)), options);
    if (found !== undefined) return found;
    throw new ResonantError("no_adapter", "Dawn does not accept the fetched SwiftShader");
  } catch (error) {
    if (!(error instanceof ResonantError)) throw error;
    throw new ResonantError("no_adapter", `no WebGPU adapter, and no software one: ${error.message}`, {
      fix: INSTALL_ANY,
      cause: error,
    });
  }
}

function whatWasFound(found: readonly Found[]): string {
  if (found.length === 0) return hasNoLoader() ? "libvulkan.so.1 is not installed" : "Dawn found none";
  return `found only ${found.map(({ adapter, listed, kind }) => `${describe(adapter, listed).name} (${kind})`).join(", ")}`;
}

function hasNoLoader(): boolean {
  return process.platform === "linux" && !hasSystemVulkanLoader();
}

function slug(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]+/g, "-");
}
