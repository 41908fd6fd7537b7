import { hostname } from "node:os";
import { describe, expect, it } from "vitest";
import { hostName, isFixedName, isLoopbackAddress, isLoopbackName } from "./hosts.ts";

it.each([
  ["localhost:8000", "localhost"],
  ["LocalHost", "localhost"],
  ["[::1]:8000", "::1"],
  ["127.1:80", "127.0.0.1"],
  ["0x7f.1", "127.0.0.1"],
  ["api.example.com:443", "api.example.com"],
  ["a b", undefined],
  ["", undefined],
])("reads the name in %j", (host, name) => {
  expect(hostName(host)).toBe(name);
});

describe("a name of this machine's loopback", () => {
  it.each(["localhost", "localhost.", "app.localhost", "127.0.0.1", "127.9.9.9", "::1"])("is %s", (name) => {
    expect(isLoopbackName(name)).toBe(true);
  });

  it.each([
    "",
    "localhost.evil.example",
    "notlocalhost",
    "127.0.0.1.evil.example",
    "0.0.0.0",
    "10.0.0.1",
    "::",
  ])("is not %j", (name) => {
    expect(isLoopbackName(name)).toBe(false);
  });
});

it("takes an IPv4 address that IPv6 carries for the one it is", () => {
  expect(isLoopbackAddress("::ffff:127.0.0.1")).toBe(true);
  expect(isLoopbackAddress("::ffff:10.0.0.1")).toBe(false);
});

it("knows which names nobody else can make lead here", () => {
  for (const name of ["192.168.1.7", "fe80::1", "localhost", hostname().toLowerCase()]) {
    expect([name, isFixedName(name)]).toEqual([name, true]);
  }
  expect(isFixedName("evil.example")).toBe(false);
});
