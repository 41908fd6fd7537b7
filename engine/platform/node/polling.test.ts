import { promisify } from "node:util";
import { expect, it } from "vitest";
import { testGpu } from "../../../test/gpu.ts";
import { pollCalmly } from "./polling.ts";

/** Runs `wait` and counts what asked for `setImmediate` meanwhile. */
async function asked(wait: () => Promise<unknown>): Promise<number> {
  const soon = globalThis.setImmediate;
  let count = 0;
  globalThis.setImmediate = ((...given: Parameters<typeof soon>) => {
    count++;
    return soon(...given);
  }) as typeof soon;
  try {
    await wait();
  } finally {
    globalThis.setImmediate = soon;
  }
  return count;
}

it("lets Dawn look for finished work no more than once a millisecond", async () => {
  const { device } = await testGpu();
  pollCalmly();
  const buffer = device.createBuffer({
    size: 2 ** 26,
    usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC,
  });
  const from = performance.now();
  const asks = await asked(async () => {
    for (let i = 0; i < 10; i++) {
      const encoder = device.createCommandEncoder();
      encoder.clearBuffer(buffer);
      device.queue.submit([encoder.finish()]);
      await device.queue.onSubmittedWorkDone();
    }
  });
  buffer.destroy();
  expect(asks).toBeGreaterThan(0);
  expect(asks).toBeLessThanOrEqual(performance.now() - from + 10);
});

it("leaves everything else that asks for setImmediate as it was", async () => {
  pollCalmly();
  const order: string[] = [];
  await new Promise<void>((resolve) => {
    setTimeout(() => order.push("later"), 20);
    setImmediate(
      (a: string, b: string) => {
        order.push(a + b);
        resolve();
      },
      "so",
      "on",
    );
  });
  expect(order).toEqual(["soon"]);
  expect(await promisify(setImmediate)("given")).toBe("given");
  let ran = false;
  clearImmediate(
    setImmediate(() => {
      ran = true;
    }),
  );
  await promisify(setImmediate)();
  expect(ran).toBe(false);
});
