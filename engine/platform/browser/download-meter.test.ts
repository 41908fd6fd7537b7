import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { DownloadMeter } from "./download-meter.ts";

beforeEach(() => vi.useFakeTimers({ toFake: ["performance"] }));
afterEach(() => vi.useRealTimers());

const metered = (sizes: [string, number | undefined][]) => {
  const told: unknown[][] = [];
  return { told, meter: new DownloadMeter((...progress) => told.push(progress), sizes) };
};

it("tells of all files' bytes together, at most ten times a second, and of the last byte", () => {
  const { told, meter } = metered([
    ["a", 300],
    ["b", 100],
  ]);
  for (let i = 0; i < 300; i++) {
    meter.add("a", 1, "network");
    vi.advanceTimersByTime(1);
  }
  meter.complete("a");
  meter.add("b", 100, "cache");
  expect(told).toEqual([
    [1, 400, "network"],
    [101, 400, "network"],
    [201, 400, "network"],
    [400, 400, "cache"],
  ]);
  meter.complete("b");
  expect(told.at(-1)).toEqual([400, 400, "cache"]);
});

it("tells no total while a file's length is unknown, or was exceeded, and the true one at the end", () => {
  const { told, meter } = metered([
    ["a", undefined],
    ["b", undefined],
  ]);
  meter.add("a", 5, "network");
  meter.complete("a");
  vi.advanceTimersByTime(100);
  meter.expect("b", 10);
  meter.add("b", 10, "network");
  vi.advanceTimersByTime(100);
  meter.add("b", 10, "network");
  meter.complete("b");
  expect(told).toEqual([
    [5, undefined, "network"],
    [15, 15, "network"],
    [25, undefined, "network"],
    [25, 25, "network"],
  ]);
});
