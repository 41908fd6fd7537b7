/**
 * WGSL with its `// for x < N` … `// end` blocks repeated, `$x` in them being 0 to N − 1; blocks may hold others. For values
 * that must lie in registers: where compilers do not unroll loops, an array indexed by a variable lies in memory.
 * @param counts the N that the text names
 * @throws Error naming the line, for a block of an unknown count or without its end: the text itself is wrong
 */
export function unroll(text: string, counts: Readonly<Record<string, number>>): string {
  const lines = text.split("\n");
  const [out, rest] = block(lines, 0, counts);
  if (rest < lines.length) throw new Error(`"// end" in line ${rest + 1} ends nothing`);
  return out.join("\n");
}

/** The lines from `from` to the block's end, unrolled, and the end's number. */
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
