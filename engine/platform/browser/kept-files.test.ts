import { describe, expect, it } from "vitest";
import { forgetModel, isSame, KeptFiles, keptBytes } from "./kept-files.ts";

describe("a kept file is the server's own", () => {
  const time = { "Last-Modified": "Tue, 24 Nov 2026 04:00:00 GMT" };
  const later = { "Last-Modified": "Tue, 24 Nov 2026 04:00:01 GMT" };
  it.each<[string, boolean, Record<string, string>, Record<string, string>]>([
    ["with its ETag, whatever its time", true, { ETag: '"a"', ...time }, { ETag: '"a"', ...later }],
    ["with its ETag in the weak form", true, { ETag: 'W/"a"' }, { ETag: '"a"' }],
    ["not with another ETag", false, { ETag: '"a"', ...time }, { ETag: '"b"', ...time }],
    ["with its time, where an ETag is lacking", true, { ETag: '"a"', ...time }, time],
    ["not with another time", false, time, later],
    [
      "not with another length",
      false,
      { ...time, "Content-Length": "1" },
      { ...time, "Content-Length": "2" },
    ],
    ["not with the same length alone", false, { "Content-Length": "1" }, { "Content-Length": "1" }],
    ["not where nothing is told", false, {}, {}],
  ])("%s", (_, same, before, now) => {
    expect(isSame(new Headers(before), new Headers(now))).toBe(same);
  });
});

it("without a Cache API, nothing is kept and nothing fails", async () => {
  expect(globalThis).not.toHaveProperty("caches");
  expect(await KeptFiles.open()).toBeUndefined();
  expect(await keptBytes()).toBe(0);
  await forgetModel();
});
