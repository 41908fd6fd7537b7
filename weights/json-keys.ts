/**
 * The first key that an object in this JSON repeats, at any depth; undefined if none does. `JSON.parse` keeps the
 * last of two and says nothing, so that two readers could see two different files.
 *
 * @param text valid JSON: what `JSON.parse` has accepted
 */
export function repeatedKey(text: string): string | undefined {
  const string = /"(?:[^"\\]|\\.)*"/y;
  const open: (Set<string> | null)[] = []; // a set of keys for an object, null for an array
  let expectKey = false;
  for (let i = 0; i < text.length; ) {
    const character = text[i];
    if (character === '"') {
      string.lastIndex = i;
      const token = string.exec(text)?.[0];
      if (token === undefined) return undefined;
      const keys = open.at(-1);
      if (expectKey && keys) {
        const key: string = JSON.parse(token);
        if (keys.has(key)) return key;
        keys.add(key);
        expectKey = false;
      }
      i += token.length;
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
