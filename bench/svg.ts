/** Colours that colour-blind people can distinguish (Okabe and Ito 2008). */
export const COLOURS = ["#0072b2", "#56b4e9", "#009e73", "#d55e00", "#e69f00", "#cc79a7"] as const;

export const colourOf = (index: number): string => COLOURS[index % COLOURS.length]!;

/** Returns an SVG document with its title at the top, `left` pixels from the left edge. */
export function svgDocument(
  title: string,
  { width, height, left }: { readonly width: number; readonly height: number; readonly left: number },
  body: readonly string[],
): string {
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ` +
    `font-family="system-ui, sans-serif" font-size="11">\n` +
    `<title>${escaped(title)}</title>\n<rect width="100%" height="100%" fill="#fff"/>\n` +
    `<text x="${left}" y="22" font-size="15">${escaped(title)}</text>\n${body.join("\n")}\n</svg>\n`
  );
}

/** Rounds a coordinate to a tenth. */
export const rounded = (value: number): number => Math.round(10 * value) / 10;

export const escaped = (text: string): string =>
  text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);

/** Formats 8192 as 8k and 1,048,576 as 1M; with base 1000, 10,000 as 10k. */
export function short(value: number, base = 1024): string {
  for (const [power, unit] of [
    [3, "G"],
    [2, "M"],
    [1, "k"],
  ] as const) {
    const scaled = value / base ** power;
    if (scaled >= 1) return `${Number(scaled.toFixed(1))}${unit}`;
  }
  return String(value);
}
