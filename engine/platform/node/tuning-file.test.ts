import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { defaultTuning, type Tuning } from "../../device/tuning.ts";
import { requestAdapter } from "./device.ts";
import { openDevice } from "./index.ts";
import { forgetTuning, rememberedTuning, rememberTuning } from "./tuning-file.ts";

const adapter = await requestAdapter();
const TUNING: Tuning = { sharedLoadLanes: 0, rowsPerWorkgroup: 32, tiledDecodeFrom: 16 };

let cache: string;
let remarks: string[];
const onRemark = (remark: string): void => void remarks.push(remark);
const options = () => ({ env: { RESONANT_CACHE: cache }, onRemark });
const file = (): string => join(cache, "tuning.json");

beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), "resonant-tuning-"));
  remarks = [];
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(cache, { recursive: true });
});

/** The adapter as if one of its properties were another. */
function otherAdapter(changes: Partial<Record<keyof GPUAdapterInfo, unknown>>) {
  const { vendor, architecture, device, description, subgroupMinSize } = adapter.info;
  const info = { vendor, architecture, device, description, subgroupMinSize, ...changes };
  return { info: info as unknown as GPUAdapterInfo, features: adapter.features };
}

describe("a remembered tuning", () => {
  it("is what was written, the last of an adapter, and leaves no other file", async () => {
    expect(await rememberedTuning(adapter, options())).toBeUndefined();
    expect(await rememberTuning(adapter, { ...TUNING, rowsPerWorkgroup: 8 }, options())).toBe(file());
    await rememberTuning(adapter, TUNING, options());
    expect(await rememberedTuning(adapter, options())).toEqual(TUNING);
    expect(await readdir(cache)).toEqual(["tuning.json"]);
    expect(JSON.parse(await readFile(file(), "utf8")).tunings).toHaveLength(1);
    expect(remarks).toEqual([]);
  });

  it("is read from a file of an earlier version, and written with the same keys", async () => {
    const { vendor, architecture, device, description } = adapter.info;
    const entry = { vendor, architecture, device, description, version: "0.1.0" };
    const text = JSON.stringify({ tunings: [{ ...entry, tuning: { share: 0, products: 16, manyRows: 4 } }] });
    await writeFile(file(), text);
    const before = { ...options(), version: "0.1.0" };
    const read = await rememberedTuning(adapter, before);
    expect(read).toEqual({ sharedLoadLanes: 0, rowsPerWorkgroup: 16, tiledDecodeFrom: 4 });
    await rememberTuning(adapter, read!, before);
    expect(JSON.parse(await readFile(file(), "utf8"))).toEqual(JSON.parse(text));
    expect(remarks).toEqual([]);
  });

  it.each(["vendor", "architecture", "device", "description"] as const)(
    "is of the adapter with its %s alone, and kept beside another's",
    async (property) => {
      const other = otherAdapter({ [property]: "another" });
      await rememberTuning(adapter, TUNING, options());
      expect(await rememberedTuning(other, options())).toBeUndefined();
      await rememberTuning(other, { ...TUNING, tiledDecodeFrom: 2 }, options());
      expect(await rememberedTuning(other, options())).toEqual({ ...TUNING, tiledDecodeFrom: 2 });
      expect(await rememberedTuning(adapter, options())).toEqual(TUNING);
    },
  );

  it("is of the package's version that measured it", async () => {
    await rememberTuning(adapter, TUNING, { ...options(), version: "0.0.1" });
    expect(await rememberedTuning(adapter, options())).toBeUndefined();
    expect(await rememberedTuning(adapter, { ...options(), version: "0.0.1" })).toEqual(TUNING);
  });

  it("is not used where it asks for more lanes than subgroups have", async () => {
    await rememberTuning(
      adapter,
      { sharedLoadLanes: 8, rowsPerWorkgroup: 64, tiledDecodeFrom: 2 },
      options(),
    );
    expect(await rememberedTuning(otherAdapter({ subgroupMinSize: 4 }), options())).toBeUndefined();
  });

  it("is what a device is opened with, and what suits its kind where there is none", async () => {
    const again = await requestAdapter(); // an adapter gives only one device
    vi.stubEnv("RESONANT_CACHE", cache);
    const before = await openDevice(adapter, onRemark);
    expect(before.tuning).toEqual(defaultTuning(before.kind, before.mostSharedLoadLanes));
    before.destroy();
    await rememberTuning(adapter, TUNING);
    const after = await openDevice(again, onRemark);
    expect(after.tuning).toEqual(TUNING);
    expect(after).toMatchObject({
      sharedLoadLanes: TUNING.sharedLoadLanes,
      rowsPerWorkgroup: TUNING.rowsPerWorkgroup,
    });
    after.destroy();
    expect(remarks).toEqual([]);
  });

  it("is forgotten alone", async () => {
    const other = otherAdapter({ device: "another" });
    await rememberTuning(adapter, TUNING, options());
    await rememberTuning(other, TUNING, options());
    expect(await forgetTuning(adapter, options())).toBe(true);
    expect(await forgetTuning(adapter, options())).toBe(false);
    expect(await rememberedTuning(adapter, options())).toBeUndefined();
    expect(await rememberedTuning(other, options())).toEqual(TUNING);
  });

  it.each([
    ["cut short", '{ "tunings": [ { "vend'],
    ["of something else", '{ "tunings": 3 }'],
    ["with a number that no kernel takes", '{ "tunings": [{ "tuning": { "share": 5 } }] }'],
  ])("in a file that is %s is ignored with a remark that names it, and replaced", async (_, text) => {
    await writeFile(file(), text);
    expect(await rememberedTuning(adapter, options())).toBeUndefined();
    expect(remarks).toEqual([expect.stringContaining(file())]);
    await rememberTuning(adapter, TUNING, options());
    expect(await rememberedTuning(adapter, options())).toEqual(TUNING);
  });

  it("that cannot be read is ignored with a remark", async () => {
    await mkdir(file());
    expect(await rememberedTuning(adapter, options())).toBeUndefined();
    expect(remarks).toEqual([expect.stringContaining(file())]);
  });
});
