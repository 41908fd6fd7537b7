import { describe, expect, it } from "vitest";
import { doesNotLoad } from "./dawn.ts";

/** The errors that Node, Bun and Deno really throw. */
const failure = (name: string, code?: string): Error =>
  Object.assign(new Error("the runtime's own words"), { name, ...(code && { code }) });
const fixFor = (error: unknown, platform = "linux", arch = "x64"): string | undefined =>
  doesNotLoad(error, { platform, arch }).fix;

describe("the advice where Dawn does not load", () => {
  it.each([
    [
      "a system that Dawn is not made for",
      fixFor(failure("Error", "MODULE_NOT_FOUND"), "freebsd"),
      /made for/,
    ],
    ["such a processor", fixFor(failure("Error", "MODULE_NOT_FOUND"), "linux", "riscv64"), /made for/],
    ["no package, in Node", fixFor(failure("Error", "ERR_MODULE_NOT_FOUND")), /^Install the packages/],
    ["no addon, in Bun", fixFor(failure("ResolveMessage", "MODULE_NOT_FOUND")), /^Install the packages/],
    ["a Deno without the right", fixFor(failure("NotCapable")), /--allow-ffi/],
    ["an addon that does not load", fixFor(failure("Error", "ERR_DLOPEN_FAILED")), /too old/],
    ["the same in Deno", fixFor(failure("TypeError")), /too old/],
  ])("names the cause: %s", (_, fix, expected) => {
    expect(fix).toMatch(expected);
    expect(fix).not.toMatch(/musl/); // these tests run where glibc is
  });

  it("keeps the runtime's own words", () => {
    expect(doesNotLoad(failure("Error", "ERR_DLOPEN_FAILED"))).toMatchObject({
      code: "no_adapter",
      message: expect.stringContaining("the runtime's own words"),
    });
  });
});
