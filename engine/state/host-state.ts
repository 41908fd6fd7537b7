/** A stream's state on the host. It is not changed. */
export interface HostState {
  /** `[layers, rows, D]`. */
  readonly state: Float32Array<ArrayBuffer>;
  readonly counts: PackedCounts;
  readonly pending: number;
}

/** How often each token was fed: `[vocabulary]`, or where fewer than half of these were fed, `[n, 2]`, each with its token. */
export interface PackedCounts {
  readonly pairs: boolean;
  readonly words: Uint32Array;
}

export function packCounts(counts: Uint32Array): PackedCounts {
  let fed = 0;
  for (const count of counts) if (count > 0) fed++;
  if (2 * fed >= counts.length) return { pairs: false, words: counts.slice() };
  const words = new Uint32Array(2 * fed);
  let at = 0;
  for (let token = 0; token < counts.length; token++) {
    const count = counts[token]!;
    if (count === 0) continue;
    words[at++] = token;
    words[at++] = count;
  }
  return { pairs: true, words };
}

/** @returns `[vocabulary]`, as they were packed */
export function unpackCounts({ pairs, words }: PackedCounts, vocabulary: number): Uint32Array<ArrayBuffer> {
  if (!pairs) return Uint32Array.from(words);
  const counts = new Uint32Array(vocabulary);
  for (let at = 0; at < words.length; at += 2) counts[words[at]!] = words[at + 1]!;
  return counts;
}
