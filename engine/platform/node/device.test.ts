import { execFile } from "node:child_process";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import { describe, expect, it } from "vitest";
import { generated, loadTiny } from "../../../test/models.ts";
import { Gpu } from "../../device/gpu.ts";
import { dawnOptions, describeAdapter, listAdapters, requestAdapter } from "./device.ts";
import { withSoftwareDriver } from "./software-driver.ts";

const linuxX64 = process.platform === "linux" && process.arch === "x64";

// Dawn writes these lines about Mesa's lavapipe straight to the error stream.
const DAWN_REMARKS = /^Warning: max\w+ artificially reduced .*\n/gm;

/** Runs TypeScript in a new Node process, where a module can be loaded again. */
async function runApart(contents: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const outfile = join(import.meta.dirname, `../../../node_modules/.vite/device-test-${process.pid}.mjs`);
  const stdin = { contents, resolveDir: import.meta.dirname };
  await build({ stdin, bundle: true, platform: "node", format: "esm", packages: "external", outfile });
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [outfile], {
    env: { ...process.env, ...env },
  });
  await rm(outfile);
  return `${stdout}${stderr.replace(DAWN_REMARKS, "")}`.trim();
}

describe("finding an adapter", () => {
  it("finds one on any machine, describes it, and it computes", async () => {
    const adapter = await requestAdapter();
    const description = describeAdapter(adapter);
    expect(description.name).not.toBe("");
    expect(["hardware", "software"]).toContain(description.kind);
    expect(description.limits.maxBufferSize).toBeGreaterThan(1 << 27);
    expect(description.subgroups.min).toBeGreaterThan(0);
    const device = await adapter.requestDevice();
    const buffer = device.createBuffer({
      size: 16,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    device.queue.writeBuffer(buffer, 0, new Uint32Array([1, 2, 3, 4]));
    await buffer.mapAsync(GPUMapMode.READ);
    expect([...new Uint32Array(buffer.getMappedRange())]).toEqual([1, 2, 3, 4]);
    device.destroy();
  });

  it("finds a software adapter for cpu, and hardware or a clear refusal for gpu", async () => {
    expect(describeAdapter(await requestAdapter({ device: "software" })).kind).toBe("software");
    try {
      expect(describeAdapter(await requestAdapter({ device: "hardware" })).kind).toBe("hardware");
    } catch (error) {
      expect(error).toMatchObject({ code: "no_adapter", option: "device" });
      expect(String(error)).toMatch(/no hardware adapter; (found only|libvulkan|Dawn found none)/);
    }
  });

  it.skipIf(process.platform === "darwin")("refuses Metal off macOS", async () => {
    await expect(requestAdapter({ device: "metal" })).rejects.toMatchObject({
      code: "no_adapter",
      option: "device",
    });
  });

  it("lists distinct adapters, hardware first", async () => {
    const adapters = await listAdapters();
    expect(adapters.length).toBeGreaterThan(0);
    expect(new Set(adapters.map(({ name, backend }) => `${name} ${backend}`)).size).toBe(adapters.length);
    const kinds = adapters.map(({ kind }) => kind);
    expect(kinds).toEqual([...kinds].sort());
  });
});

describe.skipIf(!linuxX64)("the fetched SwiftShader (Linux x64 only)", () => {
  it("is an adapter in a fresh process, whatever the system has", async () => {
    const out = await runApart(`
      import { create } from "webgpu";
      import { withSoftwareDriver } from "./software-driver.ts";
      const gpu = await withSoftwareDriver(async () => {
        const gpu = create([]);
        return { gpu, adapter: await gpu.requestAdapter() };
      });
      console.log(gpu.adapter.info.description);`);
    expect(out).toContain("SwiftShader");
  });

  it("leaves the environment as it was, also when the use fails", async () => {
    process.env.VK_ICD_FILENAMES = "/before.json";
    const seen = await withSoftwareDriver(async () => process.env.VK_ICD_FILENAMES);
    await expect(withSoftwareDriver(() => Promise.reject(new Error("use")))).rejects.toThrow("use");
    expect(seen).toMatch(/vk_swiftshader_icd\.json$/);
    expect(process.env.VK_ICD_FILENAMES).toBe("/before.json");
    expect(process.env.VK_DRIVER_FILES).toBeUndefined();
    delete process.env.VK_ICD_FILENAMES;
  });

  it("prints nothing and lets the process end by itself", async () => {
    const out = await runApart(`
      import { requestAdapter } from "./device.ts";
      const device = await (await requestAdapter()).requestDevice();
      device.createBuffer({ size: 16, usage: GPUBufferUsage.STORAGE });`);
    expect(out).toBe("");
  });

  it("says what to install and why the fetch failed where npm is out of reach", async () => {
    const out = await runApart(
      `import { withSoftwareDriver } from "./software-driver.ts";
       import { requestAdapter } from "./device.ts";
       const show = (error) => console.log(error.code, error.message);
       await withSoftwareDriver(async () => {}).catch(show);
       await requestAdapter().then((adapter) => console.log("has", adapter.info.vendor), show);`,
      {
        RESONANT_CACHE: join(import.meta.dirname, "../../../node_modules/.vite/empty-cache"),
        PATH: "/nonexistent",
      },
    );
    const [fetch, request] = out.split("\n");
    expect(fetch).toMatch(/^no_adapter .*npm was not found on the PATH/);
    expect(request).toMatch(
      /^has |^no_adapter .*npm was not found.*mesa-vulkan-drivers 23\.2.*bookworm-backports/,
    );
  });
});

describe("Dawn's checks", () => {
  it("are on unless they are switched off", () => {
    expect(dawnOptions({})).toEqual([]);
    const toggles = "enable-dawn-features=disable_robustness,disable_workgroup_init";
    expect(dawnOptions({ dawn: ["backend=vulkan"], unchecked: true })).toEqual(["backend=vulkan", toggles]);
  });

  it("change no bit of a text: no kernel reads out of bounds, or memory of its workgroup that it has not written", async () => {
    const texts: unknown[] = [];
    for (const unchecked of [false, true]) {
      const gpu = await Gpu.open(await requestAdapter({ unchecked }));
      const model = await loadTiny(gpu, { slots: 1 });
      const sampling = { temperature: 1, topK: 9, topP: 0.9, seed: 4 };
      const { tokens, saved } = await generated(model, [65, 66, 67], { ...sampling, maxTokens: 12 });
      texts.push({ tokens, saved });
      gpu.destroy();
    }
    expect(texts[1]).toEqual(texts[0]);
  });
});
