/**
 * WGSL with its `// for x < N` … `// end` blocks repeated; `$x` in a block becomes 0 to N − 1; blocks may be nested. For
 * values that must be in registers: compilers that do not unroll loops keep an array with a variable index in memory.
 * @param counts the N that the text names
 * @throws Error naming the line, for a block with an unknown count or without its end: then the text itself is wrong
 */
export function unroll(text: string, counts: Readonly<Record<string, number>>): string {
  const lines = text.split("\n");
  const [out, rest] = block(lines, 0, counts);
  if (rest < lines.length) throw new Error(`"// end" in line ${rest + 1} ends nothing`);
  return out.join("\n");
}

/** The lines from `from` to the end of the block, unrolled, and the number of the end's line. */
function block(
  lines: readonly string[],
  from: number,
  counts: Readonly<Record<string, number>>,
): [string[], number] {
  const out: string[] = [];
  for (let at = from; at < lines.length; at++) {
    const line = lines[at]!;
    if (/^\s*\/\/ end$/.test(line)) return [out, at];
    const [, name, bound = ""] = /^\s*\/\/ for (\w+) < (\w+)$/.exec(line) ?? [];
    if (name === undefined) {
      out.push(line);
      continue;
    }
    const count = counts[bound];
    const [inner, end] = block(lines, at + 1, counts);
    if (count === undefined || end === lines.length) {
      throw new Error(`line ${at + 1}: ${count === undefined ? `${bound} is unknown` : 'no "// end"'}`);
    }
    for (let i = 0; i < count; i++) out.push(...inner.map((each) => each.replaceAll(`$${name}`, `${i}`)));
    at = end;
  }
  return [out, lines.length];
}
