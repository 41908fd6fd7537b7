import { describe, expect, it } from "vitest";
import { FIXTURES, openBytes, openFixture, refusal } from "./testing/fixtures.ts";
import { bytesOf } from "./testing/pickle-assembler.ts";

describe("openTensorFile", () => {
  it.each([
    ["an HTML page", "\n<!DOCTYPE html><html>404</html>", /is an HTML or XML page/],
    [
      "a Git LFS pointer",
      "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
      /git lfs pull/,
    ],
    ["JSON", '{"weight_map": {}}', /JSON text/],
    ["GGUF", "GGUF\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", /GGUF/],
    ["nothing", "", /is empty/],
    ["plain text", "hello, this is a text file", /begins 68 65 6c 6c/],
    ["a few bytes", "\x05\x00\x00", /truncated: 3 bytes/],
  ])("says what a file is that holds no weights: %s", async (_, content, pattern) => {
    const error = await refusal(openBytes(bytesOf(content), "model.safetensors"));
    expect(error.code).toBe("invalid_file");
    expect(error.message).toMatch(/^model\.safetensors/);
    expect(error.message).toMatch(pattern);
  });

  it("goes by content, not by name", async () => {
    expect(new Set(FIXTURES.map((name) => name.split(".").at(-1)))).toEqual(new Set(["pt", "safetensors"]));
    for (const name of FIXTURES) expect((await openFixture(name)).format).toBe(name.split(".").at(-1));
    const page = await refusal(openBytes(bytesOf("<html></html>"), "adapters.pt"));
    expect(page.message).toContain("HTML");
  });
});
