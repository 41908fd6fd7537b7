import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { testGpu } from "../../../test/gpu.ts";
import { agreementOf, forgetAgreement } from "./agreement-file.ts";

const gpu = await testGpu();

let cache: string;
let remarks: string[];
let checks: number;
const options = (version = "1") => ({
  env: { RESONANT_CACHE: cache },
  version,
  onRemark: (remark: string) => void remarks.push(remark),
});
const info = (description: string) => ({
  info: { vendor: "v", architecture: "a", device: "d", description } as GPUAdapterInfo,
});
const checked = (description: string, differing: string[] = [], version?: string) =>
  agreementOf(gpu, info(description), options(version), async () => {
    checks++;
    return { shownBy: "check", differing };
  });

beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), "resonant-agreement-"));
  remarks = [];
  checks = 0;
});
afterEach(() => rm(cache, { recursive: true }));

describe("the agreement of an adapter", () => {
  it("is checked once for each driver and version, and remembered beside others", async () => {
    expect(await checked("one")).toEqual({ shownBy: "check", differing: [] });
    expect(await checked("two", ["attention"])).toEqual({ shownBy: "check", differing: ["attention"] });
    expect(remarks).toEqual([expect.stringMatching(/attention.*a row at a time/)]);
    expect(await checked("one", ["never asked"])).toEqual({ shownBy: "check", differing: [] });
    expect(await checked("two")).toEqual({ shownBy: "check", differing: ["attention"] });
    expect(checks).toBe(2);
    expect(await checked("two", [], "2")).toEqual({ shownBy: "check", differing: [] });
    expect(checks).toBe(3);
    expect(JSON.parse(await readFile(join(cache, "agreement.json"), "utf8")).agreements).toHaveLength(3);
  });

  it("is checked again, with a remark that names the file, where that cannot be read", async () => {
    await writeFile(join(cache, "agreement.json"), "{ cut short");
    await checked("one");
    expect(remarks[0]).toContain(join(cache, "agreement.json"));
    await checked("one");
    expect(checks).toBe(1);
  });

  it("is forgotten alone, and then checked again", async () => {
    await checked("one");
    await checked("two");
    expect(await forgetAgreement(info("one"), options())).toBe(true);
    expect(await forgetAgreement(info("one"), options())).toBe(false);
    await checked("two", ["never asked"]);
    expect(checks).toBe(2);
    expect(await checked("one", ["norms"])).toEqual({ shownBy: "check", differing: ["norms"] });
    expect(checks).toBe(3);
  });

  it("holds for now where it cannot be remembered", async () => {
    await writeFile(join(cache, "file"), "");
    cache = join(cache, "file");
    try {
      expect(await checked("one", ["norms"])).toEqual({ shownBy: "check", differing: ["norms"] });
      expect(remarks.some((remark) => /cannot be remembered/.test(remark))).toBe(true);
    } finally {
      cache = join(cache, "..");
    }
  });
});
