import { afterEach, describe, expect, it } from "vitest";
import { Kernel } from "../../kernels/kernel.ts";
import { testGpu } from "../../test/gpu.ts";
import { loadTiny } from "../../test/models.ts";
import { refusal } from "../../weights/testing/fixtures.ts";
import { collect } from "../generate.ts";
import { requestAdapter } from "../platform/node/device.ts";
import { Gpu } from "./gpu.ts";

const STRICT_MATHS = "shader-module-compilation-options" as GPUFeatureName;

const unhandled: unknown[] = [];
process.on("unhandledRejection", (reason) => unhandled.push(reason));

const own: Gpu[] = [];
/** A device of its own for a test that breaks it. */
async function ownGpu(): Promise<Gpu> {
  const gpu = await Gpu.open(await requestAdapter());
  own.push(gpu);
  return gpu;
}

afterEach(() => {
  for (const gpu of own.splice(0)) gpu.destroy();
});

it("has timestamps where its adapter has them", async () => {
  const adapter = await requestAdapter();
  const has = adapter.features.has("timestamp-query");
  const gpu = await Gpu.open(adapter);
  own.push(gpu);
  expect(gpu.device.features.has("timestamp-query")).toBe(has);
});

it.each([true, false])("asks for strict maths where the adapter lets it choose: %s", async (chooses) => {
  const asked: unknown[] = [];
  const real = await requestAdapter();
  const features = new Set([...real.features, ...(chooses ? ["shader-module-compilation-options"] : [])]);
  const adapter = new Proxy(real, {
    get(of, key) {
      if (key === "features") return features;
      if (key !== "requestDevice") return Reflect.get(of, key, of);
      return async (descriptor: GPUDeviceDescriptor) => {
        asked.push([...(descriptor.requiredFeatures ?? [])].includes(STRICT_MATHS));
        const requiredFeatures = [...(descriptor.requiredFeatures ?? [])].filter((of) => of !== STRICT_MATHS);
        const device = await of.requestDevice({ ...descriptor, requiredFeatures });
        const { createShaderModule } = device;
        device.createShaderModule = (descriptor) => {
          asked.push("strictMath" in descriptor && descriptor.strictMath);
          return createShaderModule.call(device, descriptor);
        };
        Object.defineProperty(device, "features", { value: features });
        return device;
      };
    },
  });
  const gpu = await Gpu.open(adapter);
  own.push(gpu);
  gpu.pipeline(new Kernel("nothing", "@compute @workgroup_size(1) fn main() {}"), {});
  await gpu.settle();
  expect(asked).toEqual([chooses, chooses]);
});

describe("a kernel", () => {
  it.each([
    ["does not compile", "@compute @workgroup_size(1) fn main() { let x = no_such_name; }", /no_such_name/],
    ["is no WGSL", "this is not WGSL", /this/],
    ["lacks its entry", "@compute @workgroup_size(1) fn other() {}", /main/],
    ["lacks an override", "override N: u32; @compute @workgroup_size(N) fn main() {}", /N|override/i],
  ])("that %s is an error that names it, with the compiler's message", async (_, code, said) => {
    const gpu = await ownGpu();
    gpu.pipeline(new Kernel("crooked-kernel", code), {});
    const error = await refusal(gpu.settle());
    expect(error).toMatchObject({ code: "shader", where: "kernel crooked-kernel" });
    expect(error.message).toMatch(said);
    expect(error.message.length).toBeGreaterThan(40);
    expect(() => gpu.assertAlive()).toThrow(error);
  });
});

it("shows the line of a kernel that does not compile, however little WebGPU's own message says", async () => {
  const gpu = await ownGpu();
  const pop = gpu.device.popErrorScope.bind(gpu.device);
  gpu.device.popErrorScope = async () => {
    const error = await pop();
    return error && new GPUValidationError("the shader module is invalid");
  };
  const kernel = new Kernel(
    "crooked-kernel",
    "// a part",
    "@compute @workgroup_size(1) fn main() {",
    "  bent();",
    "}",
  );
  gpu.pipeline(kernel, {});
  const error = await refusal(gpu.settle());
  expect(error).toMatchObject({ code: "shader", where: "kernel crooked-kernel" });
  expect(error.message).toMatch(/bent.*line 3: bent\(\);/s);
});

describe("a buffer", () => {
  it("beyond the device's limits is refused at once by its name, with both numbers", async () => {
    const gpu = await testGpu();
    const { maxBufferSize, maxStorageBufferBindingSize } = gpu.device.limits;
    const limit = Math.min(maxBufferSize, maxStorageBufferBindingSize);
    const before = gpu.bytes;
    const make = (): GPUBuffer => gpu.storage("blocks.3.mixer.weight", limit + 4);
    expect(make).toThrow(
      expect.objectContaining({ code: "out_of_memory", where: "buffer blocks.3.mixer.weight" }),
    );
    expect(make).toThrow(`${limit + 4} bytes`);
    expect(make).toThrow(`at most ${limit}`);
    expect(gpu.bytes).toBe(before);
    await gpu.settle();
  });

  it("of no size that is a number is refused too", async () => {
    const gpu = await testGpu();
    expect(() => gpu.storage("odd", Number.NaN)).toThrow(/buffer odd/);
  });

  it("counts while it lives", async () => {
    const gpu = await testGpu();
    const before = gpu.bytes;
    const buffer = gpu.storage("counted", 1000);
    expect(gpu.bytes).toBe(before + 1000);
    buffer.destroy();
    buffer.destroy();
    expect(gpu.bytes).toBe(before);
  });

  it("holds what was uploaded, read back in whole or in part", async () => {
    const gpu = await testGpu();
    const buffer = gpu.upload("numbers", Float32Array.of(1, 2, 3, 4, 5, 6));
    expect([...(await gpu.readFloats(buffer))]).toEqual([1, 2, 3, 4, 5, 6]);
    expect([...(await gpu.readFloats(buffer, 2, 3))]).toEqual([3, 4, 5]);
    buffer.destroy();
  });
});

describe("a misuse that WebGPU reports late", () => {
  it("is thrown by the next settle, not lost", async () => {
    const gpu = await ownGpu();
    const small = gpu.storage("small", 16);
    gpu.device.queue.writeBuffer(small, 0, new Uint8Array(16));
    const encoder = gpu.device.createCommandEncoder();
    encoder.copyBufferToBuffer(small, 0, gpu.storage("other", 16), 0, 64);
    gpu.device.queue.submit([encoder.finish()]);
    await gpu.device.queue.onSubmittedWorkDone();
    const error = await refusal(gpu.settle());
    expect(error.message.length).toBeGreaterThan(20);
  });
});

describe("a device that is lost", () => {
  it("under a running generation ends it in an error, and so does every later use", {
    timeout: 60_000,
  }, async () => {
    const gpu = await ownGpu();
    const model = await loadTiny(gpu, { slots: 2 });
    const seen: number[] = [];
    const reading = (async () => {
      for await (const { token } of model.generate("the oscillators", { maxTokens: 5000, seed: 1 })) {
        seen.push(token!);
        if (seen.length === 3) gpu.device.destroy();
      }
    })();
    const error = await refusal(reading);
    expect(error.code).toBe("device_lost");
    expect(seen.length).toBeGreaterThanOrEqual(3);
    expect(seen.length).toBeLessThan(100);
    const { pool, snapshots } = model.runner;
    expect([pool.free, snapshots.free]).toEqual([pool.slots, snapshots.slots]);
    for (const again of [
      () => collect(model.generate("again", { maxTokens: 3 })),
      () => model.evaluate([1, 2, 3], {}),
      async () => model.save(model.open()),
    ]) {
      expect((await refusal(again())).code).toBe("device_lost");
    }
    expect(snapshots.free).toBe(snapshots.slots);
  });

  it("while a read is waited for ends it in an error", { timeout: 60_000 }, async () => {
    const gpu = await ownGpu();
    const buffer = gpu.storage("read", 1024);
    const reading = refusal(gpu.read(buffer));
    gpu.device.destroy();
    expect((await reading).code).toBe("device_lost");
  });

  it("leaves no rejection unhandled", async () => {
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(unhandled).toEqual([]);
  });
});
