import { expect, it } from "vitest";
import { asEntry } from "./supervise.ts";

const DAWN =
  "Warning: maxDynamicUniformBuffersPerPipelineLayout artificially reduced from 1000000 to 16 to fit.";

it("leaves lines of the JSON log as they are", () => {
  const line = '{"level":30,"time":"2026-11-28T09:00:00.000Z","msg":"listening"}';
  expect(asEntry(line, "info")).toBe(line);
});

it.each([
  ["Warning: an odd driver", 40],
  ["error: --port: listen EADDRINUSE", 50],
  ["FATAL ERROR: heap out of memory", 50],
  ["fetching a software Vulkan driver, once: 5 bytes", 30],
  ["{ not JSON", 30],
])("makes a message of another line, with a level: %s", (line, level) => {
  expect(JSON.parse(asEntry(line, "info")!)).toEqual({
    level,
    time: expect.stringMatching(/^\d{4}-.*Z$/),
    source: "stderr",
    msg: line,
  });
});

it("shows Dawn's remarks about limits at level debug alone, and no empty lines", () => {
  expect(asEntry(DAWN, "info")).toBeUndefined();
  expect(JSON.parse(asEntry(DAWN, "debug")!)).toMatchObject({ level: 20, msg: DAWN });
  expect(asEntry("", "debug")).toBeUndefined();
});
