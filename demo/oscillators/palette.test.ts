import { describe, expect, it } from "vitest";
import { HUES, hueOf, oklchToSrgb, palettes, TONES } from "./palette.ts";

describe.each(["light", "dark"] as const)("the phases' colours in %s", (theme) => {
  const [lightness, chroma] = TONES[theme];
  const colours = Array.from({ length: HUES }, (_, i) =>
    oklchToSrgb(lightness, chroma, (2 * Math.PI * i) / HUES),
  );

  it("are all within sRGB, so that none is clipped to another lightness", () => {
    for (const channel of colours.flat()) {
      expect(channel).toBeGreaterThan(-0.5);
      expect(channel).toBeLessThan(255.5);
    }
  });

  it("stand out from the surface by 3:1 or more", () => {
    const surface = theme === "light" ? [255, 255, 255] : [0x14, 0x1e, 0x23];
    for (const colour of colours) {
      const [low, high] = [luminance(colour), luminance(surface)].sort((a, b) => a - b) as [number, number];
      expect((high + 0.05) / (low + 0.05)).toBeGreaterThanOrEqual(3);
    }
  });

  it("are as many strings of CSS", () => {
    expect(palettes()[theme]).toHaveLength(HUES);
    for (const colour of palettes()[theme]) expect(colour).toMatch(/^rgb\(\d+ \d+ \d+\)$/);
  });
});

it("a phase's colour goes once round the palette", () => {
  const at = (turns: number) => hueOf(Math.cos(2 * Math.PI * turns), Math.sin(2 * Math.PI * turns));
  expect([0, 0.25, 0.5, 0.75, 0.999].map(at)).toEqual([0, 64, 128, 192, 0]);
});

/** WCAG's relative luminance. */
function luminance(srgb: readonly number[]): number {
  const [r, g, b] = srgb.map((v) => {
    const x = v / 255;
    return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
