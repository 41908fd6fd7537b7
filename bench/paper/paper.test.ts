import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { stepNow } from "./after.ts";
import { stepBefore } from "./before.ts";
import { paperDevices, secondsOf } from "./devices.ts";
import { barriersOf, constantOf } from "./kernel-text.ts";
import { decoderStep, nativeStep } from "./models.ts";
import { paperTables, tokenOn } from "./tables.ts";

const notes = fileURLToPath(new URL("../NOTES.md", import.meta.url));
const MARKED = /(?<=<!-- paper -->\n)[\s\S]*(?=<!-- \/paper -->)/;

it("NOTES shows the tables that the engine gives now (UPDATE_NOTES=1 writes them)", async () => {
  const tables = await paperTables();
  const text = await readFile(notes, "utf8");
  if (process.env.UPDATE_NOTES)
    await writeFile(
      notes,
      text.replace(MARKED, () => tables),
    );
  else expect(MARKED.exec(text)?.[0]).toBe(tables);
});

describe("a step on paper", () => {
  it("reads each matrix as often as the model has it", async () => {
    for (const step of [await decoderStep("pythia-160m", "q4"), await nativeStep("f32")]) {
      for (const launches of [
        stepNow(step),
        stepBefore(step.products, step.format, step.model === "default"),
      ]) {
        for (const { name, count, rows, columns } of step.products) {
          const found = launches.filter(({ what }) => what === name);
          expect(found, name).toHaveLength(count);
          expect(found[0]?.product?.shape).toBe(`${rows} × ${columns}`);
        }
      }
    }
  });

  it("takes a gap for each dispatch, and the time of its bytes", async () => {
    const step = await decoderStep("tinyllama-1.1b", "f16");
    for (const device of paperDevices) {
      for (const launch of stepNow(step)) {
        const bytes = launch.product?.bytes ?? 0;
        expect(secondsOf(launch, device)).toBeGreaterThan(device.gap + bytes / device.bytesPerSecond);
      }
    }
  });

  it("puts the kernels of before at about 28 % and 9 % of an H100's bandwidth, without the draw", async () => {
    for (const [format, percent] of [
      ["f16", 28],
      ["q4", 9],
    ] as const) {
      const { products } = await decoderStep("tinyllama-1.1b", format);
      const step = stepBefore(products, format, false).slice(0, -1);
      expect(step).toHaveLength(7 * 22 + 2);
      expect(Math.round(100 * tokenOn(step, paperDevices[0]!).share)).toBe(percent);
    }
  });
});

describe("a kernel's text", () => {
  const code = `override NORM: bool;
    override RMS: bool = false;
    fn sum() -> f32 { workgroupBarrier(); if (true) { workgroupBarrier(); } return 0.0; }
    fn statistics() { if (!RMS) { sum(); } sum(); }
    // workgroupBarrier() in a comment
    const AT_ONCE = 4u;
    fn main() { if (NORM) { statistics(); } workgroupBarrier(); }`;

  it("gives the barriers that are passed with its overrides", () => {
    expect(barriersOf({ code, overrides: { NORM: 1, RMS: 0 } })).toBe(5);
    expect(barriersOf({ code, overrides: { NORM: 1, RMS: 1 } })).toBe(3);
    expect(barriersOf({ code, overrides: { NORM: 0, RMS: 0 } })).toBe(1);
  });

  it("gives its constants", () => {
    expect(constantOf(code, "AT_ONCE")).toBe(4);
    expect(constantOf(code, "OTHER")).toBeUndefined();
  });
});
