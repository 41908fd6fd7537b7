import { promisify } from "node:util";
import { expect, it } from "vitest";
import { testGpu } from "../../../test/gpu.ts";
import { pollCalmly } from "./polling.ts";

/** More polls than fit into the first half millisecond of a wait. */
const MOST_EAGER = 500;

/** Runs `wait` and counts the calls of `setImmediate` in the meantime. */
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

it("lets Dawn look for finished work about once a millisecond while a wait is long", async () => {
  const { device } = await testGpu();
  pollCalmly();
  // Long enough for any machine to poll some thousand times, if it polled without a pause.
  const buffer = device.createBuffer({ size: 2 ** 27, usage: GPUBufferUsage.COPY_DST });
  const from = performance.now();
  const looks = await asked(async () => {
    const encoder = device.createCommandEncoder();
    for (let i = 0; i < 10; i++) encoder.clearBuffer(buffer);
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
  });
  buffer.destroy();
  expect(looks).toBeGreaterThan(0);
  expect(looks).toBeLessThanOrEqual(performance.now() - from + MOST_EAGER);
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
