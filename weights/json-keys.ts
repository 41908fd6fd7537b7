/**
 * The first key that an object in this JSON repeats, at any depth; undefined if there is none. `JSON.parse` silently keeps
 * the last of two, so two readers could see two different files.
 * @param text valid JSON: `JSON.parse` has accepted it
 */
export function repeatedKey(text: string): string | undefined {
  const open: (Set<string> | null)[] = []; // a set of keys for an object, null for an array
  let expectKey = false;
  for (let i = 0; i < text.length; ) {
    const character = text[i];
    if (character === '"') {
      const end = stringEnd(text, i);
      const token = text.slice(i, end);
      const keys = open.at(-1);
      if (expectKey && keys) {
        const key: string = JSON.parse(token);
        if (keys.has(key)) return key;
        keys.add(key);
        expectKey = false;
      }
      i = end;
      continue;
    }
    if (character === "{") {
      open.push(new Set());
      expectKey = true;
    } else if (character === "[") {
      open.push(null);
      expectKey = false;
    } else if (character === "}" || character === "]") {
      open.pop();
      expectKey = false;
    } else if (character === ",") {
      expectKey = open.at(-1) instanceof Set;
    }
    i++;
  }
  return undefined;
}

/**
 * The position after the string that begins at `start`. Written by hand: a regular expression can run out of stack on a
 * long string.
 */
function stringEnd(text: string, start: number): number {
  let i = start + 1;
  while (i < text.length && text[i] !== '"') i += text[i] === "\\" ? 2 : 1;
  return i + 1;
}
