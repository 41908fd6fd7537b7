import { afterEach, describe, expect, it, vi } from "vitest";
import { requestAdapter } from "./device.ts";

afterEach(() => vi.unstubAllGlobals());

describe("the browser's adapter", () => {
  it("is the one that navigator.gpu gives", async () => {
    const adapter = {};
    vi.stubGlobal("navigator", { gpu: { requestAdapter: async () => adapter } });
    expect(await requestAdapter()).toBe(adapter);
  });

  it.each([
    ["an insecure page", {}, false, /secure origin.*https/],
    [
      "a browser without WebGPU",
      {},
      true,
      /no WebGPU.*Chrome and Edge.*Safari from 26.*dom\.webgpu\.enabled/,
    ],
    [
      "a machine without an adapter",
      { gpu: { requestAdapter: async () => null } },
      true,
      /hardware acceleration.*--enable-unsafe-webgpu.*gfx\.webgpu\.ignore-blocklist/,
    ],
  ])("is refused clearly for %s", async (_, navigator, isSecureContext, message) => {
    vi.stubGlobal("navigator", navigator);
    vi.stubGlobal("isSecureContext", isSecureContext);
    await expect(requestAdapter()).rejects.toMatchObject({
      code: "no_adapter",
      message: expect.stringMatching(message),
    });
  });
});
