import type { Recorded } from "./recording-device.ts";

/** The barriers that a workgroup passes, counted in the kernel's text; those in loops count once. */
export function barriersOf({ code, overrides }: Pick<Recorded, "code" | "overrides">): number {
  const text = taken(code.replace(/\/\/[^\n]*/g, ""), overrides);
  const bodies = new Map<string, string>();
  for (const { index, 1: name = "" } of text.matchAll(/\bfn (\w+)\s*\(/g)) {
    bodies.set(name, block(text, text.indexOf("{", index)));
  }
  const count = (name: string): number => {
    const body = bodies.get(name) ?? "";
    const own = body.match(/\bworkgroupBarrier\s*\(/g)?.length ?? 0;
    const called = [...body.matchAll(/\b(\w+)\s*\(/g)].map(([, callee = ""]) => callee);
    return called
      .filter((callee) => callee !== name && bodies.has(callee))
      .reduce((sum, each) => sum + count(each), own);
  };
  return count("main");
}

/** The text without the branches of `if (NAME)` and `if (!NAME)` that an override switches off. */
function taken(text: string, overrides: Recorded["overrides"]): string {
  for (;;) {
    const off = [...text.matchAll(/\bif ?\((!?)([A-Z_]+)\) ?\{/g)].find(([, not, name = ""]) => {
      const value = overrides[name];
      return value !== undefined && Boolean(value) === (not === "!");
    });
    if (!off) return text;
    const from = off.index;
    text =
      text.slice(0, from) +
      text.slice(from + off[0].length - 1 + block(text, from + off[0].length - 1).length);
  }
}

/** The block that starts with the brace at `from`, with both braces. */
function block(text: string, from: number): string {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    if (text[at] === "{") depth++;
    if (text[at] === "}" && --depth === 0) return text.slice(from, at + 1);
  }
  throw new Error("a block without an end");
}

/** A number that the kernel's text declares as a constant. */
export function constantOf(code: string, name: string): number | undefined {
  const [, value] = new RegExp(`\\bconst ${name} ?= ?(\\d+)u;`).exec(code) ?? [];
  return value === undefined ? undefined : Number(value);
}
