/** Colours of a {@link Palette}. */
export const HUES = 256;

/** CSS colours of phases 0 to 2π, in equal steps. */
export type Palette = readonly string[];

/**
 * The hues of OKLCH (B. Ottosson, "A perceptual color space for image processing", 2020) at one lightness and one
 * chroma, so that no phase looks stronger than another.
 */
function turn(lightness: number, chroma: number): Palette {
  return Array.from({ length: HUES }, (_, i) => {
    const hue = (2 * Math.PI * i) / HUES;
    return `rgb(${oklchToSrgb(lightness, chroma, hue).map(Math.round).join(" ")})`;
  });
}

/** sRGB, 0 to 255 within the gamut. */
export function oklchToSrgb(lightness: number, chroma: number, hue: number): number[] {
  const [a, b] = [chroma * Math.cos(hue), chroma * Math.sin(hue)];
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ].map((x) => 255 * (x <= 0.0031308 ? 12.92 * x : 1.055 * x ** (1 / 2.4) - 0.055));
}

/** Lightness, and the largest chroma that every hue reaches in sRGB at that lightness. Contrast with the page is 3:1 or more. */
export const TONES = { light: [0.62, 0.105], dark: [0.74, 0.122] } as const;

let made: { readonly light: Palette; readonly dark: Palette } | undefined;

export function palettes(): { readonly light: Palette; readonly dark: Palette } {
  made ??= { light: turn(...TONES.light), dark: turn(...TONES.dark) };
  return made;
}

/** Index of the palette colour for a complex number's phase. */
export function hueOf(re: number, im: number): number {
  return Math.round((Math.atan2(im, re) / (2 * Math.PI)) * HUES + HUES) % HUES;
}

const wheels = new WeakMap<Palette, CanvasGradient>();

/** The phases around (0, 0), counter-clockwise from the right, the mathematical convention. */
export function wheelOf(palette: Palette): CanvasGradient {
  const known = wheels.get(palette);
  if (known) return known;
  const stops = 32;
  const wheel = document.createElement("canvas").getContext("2d")!.createConicGradient(0, 0, 0);
  for (let i = 0; i <= stops; i++)
    wheel.addColorStop(i / stops, palette[(HUES - (i * HUES) / stops) % HUES]!);
  wheels.set(palette, wheel);
  return wheel;
}
