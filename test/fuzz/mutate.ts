/** A random number in [0, 1). */
export type Random = () => number;

const below = (random: Random, bound: number): number => Math.floor(random() * bound);
const oneOf = <T>(random: Random, values: readonly T[]): T => values[below(random, values.length)]!;

/** Bytes that differ from `bytes` in one to four places: changed, cut out, put in twice, or cut off. */
export function mutateBytes(bytes: Uint8Array, random: Random): Uint8Array<ArrayBuffer> {
  let changed = Uint8Array.from(bytes);
  for (let changes = 1 + below(random, 4); changes > 0; changes--) {
    const at = below(random, changed.length + 1);
    const end = Math.min(changed.length, at + 1 + below(random, 32));
    const kind = below(random, 10);
    if (kind < 7) changed[Math.min(at, changed.length - 1)]! ^= 1 + below(random, 255);
    else if (kind === 7) changed = Uint8Array.from([...changed.subarray(0, at), ...changed.subarray(end)]);
    else if (kind === 8) changed = Uint8Array.from([...changed.subarray(0, end), ...changed.subarray(at)]);
    else changed = changed.slice(0, at);
  }
  return changed;
}

/** A text that differs from `text`: a part is cut out, written twice, or replaced by one of `fragments`. */
export function mutateText(text: string, random: Random, fragments: readonly string[]): string {
  const at = below(random, text.length + 1);
  const end = Math.min(text.length, at + below(random, 24));
  const between = oneOf(random, ["", text.slice(at, end).repeat(2), oneOf(random, fragments)]);
  return text.slice(0, at) + between + text.slice(end);
}

/** What is put in the place of a value. */
const ODD: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  0.5,
  2 ** 31,
  2 ** 53,
  1e308,
  -1e308,
  "",
  "0",
  "\ud800",
  "a".repeat(10_000),
  "(a+)+$",
  "(",
  [],
  [[[[[]]]]],
  {},
  { type: "Sequence" },
  { __proto__: null, constructor: 1 },
];

/** A JSON value that differs from `value` in one to three places: replaced, left out, or written under another's name. */
export function mutateJson(value: unknown, random: Random): unknown {
  let changed = structuredClone(value);
  for (let changes = 1 + below(random, 3); changes > 0; changes--) changed = once(changed, random);
  return JSON.parse(JSON.stringify(changed)); // as a file would have it
}

function once(value: unknown, random: Random): unknown {
  if (typeof value !== "object" || value === null || random() < 0.15) return oneOf(random, ODD);
  const keys = Object.keys(value);
  if (keys.length === 0) return oneOf(random, ODD);
  const held = value as Record<string, unknown>;
  const key = oneOf(random, keys);
  const kind = below(random, 6);
  if (kind === 0) {
    if (Array.isArray(value)) value.splice(Number(key), 1);
    else delete held[key];
  } else if (kind === 1) held[key] = structuredClone(held[oneOf(random, keys)]);
  else held[key] = once(held[key], random);
  return value;
}
