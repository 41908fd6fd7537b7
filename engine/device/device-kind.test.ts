import { describe, expect, it } from "vitest";
import { type DeviceKind, isSoftware, kindOf } from "./device-kind.ts";

type Told = Partial<Record<"vendor" | "architecture" | "device" | "description", string>>;

const adapter = (told: Told, isFallbackAdapter = false) =>
  ({
    ...{ vendor: "", architecture: "", device: "", description: "", isFallbackAdapter },
    ...told,
  }) as GPUAdapterInfo;

describe("the kind of an adapter", () => {
  it.each<[string, DeviceKind, Told, boolean?]>([
    ["Dawn, NVIDIA", "nvidia", { vendor: "nvidia", architecture: "hopper", device: "nvidia-h100-80gb-hbm3" }],
    [
      "Dawn, NVIDIA by Mesa",
      "nvidia",
      { vendor: "nvidia", architecture: "ampere", description: "NVK: Mesa 25" },
    ],
    ["Dawn, Apple", "apple", { vendor: "apple", architecture: "metal-3", device: "apple-m2" }],
    [
      "Dawn, Intel",
      "gpu",
      { vendor: "intel", architecture: "gen-12lp", description: "Intel open-source Mesa" },
    ],
    ["Dawn, AMD in a Mac", "gpu", { vendor: "amd", architecture: "rdna-1", description: "Apple's Metal" }],
    [
      "Dawn, lavapipe",
      "software",
      { vendor: "mesa", architecture: "software", description: "llvmpipe: Mesa" },
    ],
    ["Chromium, NVIDIA", "nvidia", { vendor: "nvidia", architecture: "ampere" }],
    ["Chromium, Apple", "apple", { vendor: "apple", architecture: "metal-3" }],
    ["Chromium, SwiftShader", "software", { vendor: "google", architecture: "swiftshader" }],
    ["Chromium, WARP", "software", { vendor: "microsoft", device: "microsoft basic render driver" }],
    ["Safari", "apple", { vendor: "apple" }],
    ["Firefox, any GPU", "gpu", {}],
    ["Firefox, lavapipe", "software", {}, true],
    ["Deno, NVIDIA", "nvidia", { vendor: "4318", device: "9860", description: "NVIDIA GeForce RTX 4090" }],
    ["Deno, AMD", "gpu", { vendor: "4098", device: "29772", description: "AMD Radeon RX 7900 XTX" }],
    ["Deno, Apple on Asahi", "apple", { vendor: "4203", device: "0", description: "Apple M1 (G13G B1)" }],
    ["Deno, Apple", "apple", { vendor: "0", device: "0", description: "Apple M2 Pro" }],
    ["Deno, lavapipe", "software", { vendor: "65541", device: "0", description: "llvmpipe (LLVM 15.0.6)" }],
    ["a number in hexadecimal", "nvidia", { vendor: "0x10de" }],
    ["a description alone", "nvidia", { description: "GeForce GTX 1660" }],
    ["a word that only contains a name", "gpu", { description: "Pineapple 3" }],
  ])("is known for %s", (_, kind, told, fallback) => {
    expect(kindOf(adapter(told, fallback))).toBe(kind);
    expect(isSoftware(adapter(told, fallback))).toBe(kind === "software");
  });
});
