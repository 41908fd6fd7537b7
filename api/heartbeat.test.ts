import { afterEach, expect, it, vi } from "vitest";
import type { Gpu } from "../engine/device/gpu.ts";
import { Heartbeat } from "./heartbeat.ts";

afterEach(() => vi.useRealTimers());

/** A device whose queue answers when the test says so. */
function device() {
  const waiting: (() => void)[] = [];
  const onSubmittedWorkDone = () => new Promise<void>((resolve) => waiting.push(resolve));
  const gpu = { assertAlive: () => undefined, device: { queue: { onSubmittedWorkDone } } } as unknown as Gpu;
  return { gpu, waiting, answer: () => waiting.splice(0).forEach((resolve) => void resolve()) };
}

it("asks one question at a time, and is dead after a silence, and alive again after an answer", async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
  const { gpu, waiting, answer } = device();
  const heartbeat = new Heartbeat(gpu);
  await vi.advanceTimersByTimeAsync(1000);
  answer();
  await vi.advanceTimersByTimeAsync(9000);
  expect(waiting).toHaveLength(1);
  expect(heartbeat.fault(10)).toBeUndefined();
  await vi.advanceTimersByTimeAsync(2000);
  expect(heartbeat.fault(10)).toBe("the GPU has not answered for 11 s");
  answer();
  await vi.advanceTimersByTimeAsync(0);
  expect(heartbeat.fault(10)).toBeUndefined();
  heartbeat.stop();
  await vi.advanceTimersByTimeAsync(5000);
  expect(waiting).toHaveLength(0);
});

it("is dead at once when the device has failed", () => {
  const { gpu } = device();
  const lost = {
    ...gpu,
    assertAlive: () => {
      throw new Error("it was lost");
    },
  } as unknown as Gpu;
  const heartbeat = new Heartbeat(lost);
  expect(heartbeat.fault(10)).toBe("it was lost");
  heartbeat.stop();
});
