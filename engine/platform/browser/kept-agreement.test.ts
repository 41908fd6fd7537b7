import { afterEach, describe, expect, it, vi } from "vitest";
import type { Gpu } from "../../device/gpu.ts";
import { agreementOf } from "./kept-agreement.ts";

const gpuOf = (device: string): Gpu =>
  ({
    device: { adapterInfo: { vendor: "v", architecture: "a", device, description: "" } },
  }) as unknown as Gpu;

let checks = 0;
const checked = (device: string, differing: string[] = []) =>
  agreementOf(gpuOf(device), async () => {
    checks++;
    return { shownBy: "check", differing };
  });

function memoryCaches(): CacheStorage {
  const kept = new Map<string, Response>();
  const cache = {
    match: async (key: string) => kept.get(key)?.clone(),
    put: async (key: string, response: Response) => void kept.set(key, response),
  };
  return { open: async () => cache } as unknown as CacheStorage;
}

afterEach(() => {
  vi.unstubAllGlobals();
  checks = 0;
});

describe("the agreement of a page's device", () => {
  it("is checked once for each device where the page may keep it", async () => {
    vi.stubGlobal("caches", memoryCaches());
    expect(await checked("one", ["norms"])).toEqual({ shownBy: "check", differing: ["norms"] });
    expect(await checked("one")).toEqual({ shownBy: "check", differing: ["norms"] });
    expect(await checked("two")).toEqual({ shownBy: "check", differing: [] });
    expect(await checked("two", ["norms"])).toEqual({ shownBy: "check", differing: [] });
    expect(checks).toBe(2);
  });

  it.each([
    ["there is no cache", undefined],
    ["the cache cannot be opened", { open: () => Promise.reject(new Error("no")) }],
  ])("is checked each time where %s", async (_, caches) => {
    vi.stubGlobal("caches", caches);
    for (let i = 0; i < 2; i++) expect(await checked("one")).toEqual({ shownBy: "check", differing: [] });
    expect(checks).toBe(2);
  });
});
