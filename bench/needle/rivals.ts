import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type MiniSearch from "minisearch";
import { ResonantError } from "../../common/errors.ts";
import type { Codec } from "./data.ts";
import type { Hit, Searcher, SearchResult } from "./searcher.ts";

/** Tokens written as a string, for a string search. */
export interface TokenString {
  readonly text: string;
  /** Returns the token that contains a code unit. */
  token(unit: number): number;
  /** Returns the code unit at which a token starts. */
  unit(token: number): number;
}

/** Writes a source's tokens as strings, and splits the strings into words. */
export interface StringCodec {
  write(tokens: ArrayLike<number>): TokenString;
  /** Returns the words for BM25, each with its position. */
  terms(text: string): { readonly term: string; readonly at: number }[];
}

/** For random tokens: each token is a code unit and a word. */
export const tokenStrings: StringCodec = {
  write: (tokens) => {
    let text = "";
    for (let start = 0; start < tokens.length; start += CHUNK) {
      const chunk = Array.prototype.slice.call(tokens, start, start + CHUNK);
      text += String.fromCharCode(...chunk);
    }
    return { text: flat(text), token: (unit) => unit, unit: (token) => token };
  },
  terms: (text) => Array.from({ length: text.length }, (_, at) => ({ term: text.charAt(at), at })),
};

/** For text: each UTF-8 byte is a code unit; words are runs of letters, digits and non-ASCII bytes, in lower case. */
export function textStrings({ bytes }: Pick<Codec, "bytes">): StringCodec {
  return {
    write: (tokens) => {
      const starts = new Uint32Array(tokens.length + 1);
      for (let i = 0; i < tokens.length; i++) starts[i + 1] = starts[i]! + bytes(tokens[i]!).length;
      const buffer = Buffer.alloc(starts[tokens.length]!);
      for (let i = 0; i < tokens.length; i++) buffer.set(bytes(tokens[i]!), starts[i]!);
      return {
        text: buffer.toString("latin1"),
        token: (unit) => upperBound(starts, unit) - 1,
        unit: (token) => starts[token]!,
      };
    },
    terms: (text) =>
      Array.from(text.matchAll(/[A-Za-z0-9\x80-\xff]+/g), (match) => ({
        term: match[0].toLowerCase(),
        at: match.index,
      })),
  };
}

const CHUNK = 8192;

/** Copies a string that was built in pieces into one piece, which is read faster. */
const flat = (text: string): string => Buffer.from(text, "utf16le").toString("utf16le");

/** Returns the first index whose number is above `value`. */
function upperBound(ascending: Uint32Array, value: number): number {
  let [low, high] = [0, ascending.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Loads the searchers to compare with. Each uses a library that only this benchmark needs.
 * @throws ResonantError `unsupported` if a library is not installed
 */
export async function loadRivals(): Promise<(codec: StringCodec) => Searcher[]> {
  try {
    const [{ default: StreamSearch }, { default: Index }, { default: approximate }] = await Promise.all([
      import("streamsearch"),
      import("minisearch"),
      import("approx-string-match"),
    ]);
    return (codec) => [
      exactSearch(codec, StreamSearch),
      bm25Search(codec, Index),
      editSearch(codec, approximate),
    ];
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw cause;
    throw new ResonantError("unsupported", "the libraries to compare with are not installed", {
      where: "eval needle",
      fix: "Run: npm install streamsearch minisearch approx-string-match; or leave them out: --no-rivals",
      cause,
    });
  }
}

/** Wraps a string search: writes context and needles as strings, untimed, and converts the matches to tokens. */
function overStrings(
  name: string,
  codec: StringCodec,
  search: (context: Written, needles: readonly Written[], topK: number) => StringMatches,
): Searcher {
  const known = new WeakMap<Uint32Array, Written>();
  return {
    name,
    search: async (context, needles, topK): Promise<SearchResult> => {
      const written = known.get(context) ?? write(codec, context);
      known.set(context, written);
      const { matches, ...costs } = search(
        written,
        needles.map(({ tokens }) => write(codec, tokens)),
        topK,
      );
      const { token } = written.string;
      return {
        hits: matches.map((list) =>
          list.map(({ start, end, ...rest }): Hit => {
            const position = token(start);
            return { position, length: token(Math.max(start, end - 1)) + 1 - position, ...rest };
          }),
        ),
        ...costs,
      };
    },
  };
}

interface Written {
  readonly string: TokenString;
  readonly text: string;
}

const write = (codec: StringCodec, tokens: ArrayLike<number>): Written => {
  const string = codec.write(tokens);
  return { string, text: string.text };
};

interface StringMatch extends Pick<Hit, "similarity" | "confidence"> {
  /** Index of the first code unit; `end` is exclusive. */
  readonly start: number;
  readonly end: number;
}

interface StringMatches extends Pick<SearchResult, "ms" | "indexMs" | "workingBytes"> {
  readonly matches: readonly (readonly StringMatch[])[];
}

/**
 * Boyer–Moore–Horspool over UTF-8, where a match never starts within a character. The confidence of a match is 1. Leaves out
 * occurrences that overlap an earlier one.
 */
function exactSearch(codec: StringCodec, StreamSearch: typeof import("streamsearch")): Searcher {
  const buffers = new WeakMap<Written, Buffer>();
  return overStrings("exact", codec, (context, needles, topK) => {
    const haystack = buffers.get(context) ?? Buffer.from(context.text);
    buffers.set(context, haystack);
    let [ms, indexMs] = [0, 0];
    const matches = needles.map(({ text }) => {
      const pattern = Buffer.from(text);
      const offsets: number[] = [];
      let at = 0;
      const before = performance.now();
      const search = new StreamSearch(pattern, (isMatch, data, from, to) => {
        if (data) at += to - from;
        if (!isMatch) return;
        if (offsets.length < topK) offsets.push(at);
        at += pattern.length;
      });
      const start = performance.now();
      search.push(haystack);
      search.destroy();
      ms += performance.now() - start;
      indexMs += start - before;
      return offsets.map((offset): StringMatch => {
        const first = haystack.toString("utf8", 0, offset).length;
        return { start: first, end: first + text.length, similarity: 1, confidence: 1 };
      });
    });
    // A table of 256 skips, the needle, and a look-behind buffer of the needle's length.
    return { matches, ms, indexMs, workingBytes: 256 + 2 * Buffer.byteLength(needles[0]?.text ?? "") };
  });
}

/**
 * Okapi BM25 (variant BM25+) over windows of twice the needle's length. Each window overlaps the next by half, so that one of
 * them contains the whole needle. Within a window, the position is the one that aligns most words with the needle's. The
 * confidence is the window's score, which has no upper bound.
 */
function bm25Search(codec: StringCodec, Index: typeof MiniSearch): Searcher {
  return overStrings("bm25", codec, (context, needles, topK) => {
    const alone = needles.length === 1;
    let [ms, indexMs, workingBytes] = [0, 0, 0];
    const indexes = new Map<number, MiniSearch>();
    const matches = needles.map(({ text }) => {
      // Damaged needles are a little longer or shorter; round the length so that they share the windows.
      const step = Math.max(8, 8 * Math.round(text.length / 8));
      let index = indexes.get(step);
      if (!index) {
        const before = alone ? heapBytes() : 0;
        const start = performance.now();
        index = new Index({
          fields: ["text"],
          tokenize: (words) => codec.terms(words).map(({ term }) => term),
          processTerm: (term) => term,
        });
        for (let at = 0; at === 0 || at + step < context.text.length; at += step) {
          index.add({ id: at, text: context.text.slice(at, at + 2 * step) });
        }
        indexMs += performance.now() - start;
        if (alone) workingBytes = Math.max(0, heapBytes() - before);
        indexes.set(step, index);
      }
      const start = performance.now();
      const found: StringMatch[] = [];
      const words = codec.terms(text);
      for (const { id, score } of index.search(text).slice(0, 4 * topK)) {
        const window = context.text.slice(id, id + 2 * step);
        const at = Math.max(0, id + align(words, codec.terms(window)));
        if (found.some((better) => Math.abs(better.start - at) < text.length)) continue;
        const end = Math.min(context.text.length, at + text.length);
        found.push({ start: Math.min(at, end - 1), end, similarity: score, confidence: score });
        if (found.length === topK) break;
      }
      ms += performance.now() - start;
      return found;
    });
    return { matches, ms, indexMs, workingBytes };
  });
}

type Words = ReturnType<StringCodec["terms"]>;

/** Returns the start of the needle in the window that aligns most shared words; the first one if several align equally many. */
function align(needle: Words, window: Words): number {
  const votes = new Map<number, number>();
  for (const word of needle) {
    for (const other of window) {
      if (word.term !== other.term) continue;
      const start = other.at - word.at;
      votes.set(start, (votes.get(start) ?? 0) + 1);
    }
  }
  let best = { start: 0, count: 0 };
  for (const [start, count] of votes) if (count > best.count) best = { start, count };
  return best.start;
}

/** Myers 1999, bit-parallel: matches with the fewest edits, at most half the needle's length. Confidence: 1 − edits / length. */
function editSearch(codec: StringCodec, approximate: typeof import("approx-string-match").default): Searcher {
  return overStrings("edit", codec, (context, needles, topK) => {
    const start = performance.now();
    const matches = needles.map(({ text }) => {
      const found: StringMatch[] = [];
      for (const { start, end, errors } of approximate(context.text, text, Math.floor(text.length / 2))) {
        if (found.some((other) => Math.abs(other.start - start) < text.length)) continue;
        const similarity = 1 - errors / text.length;
        found.push({ start, end, similarity, confidence: similarity });
        if (found.length === topK) break;
      }
      return found;
    });
    const ms = performance.now() - start;
    const { text } = needles[0]!;
    const words = Math.ceil(text.length / 32);
    // Bit vectors of 32-bit words: one per distinct character of the needle and four more; a table of 256 references.
    const workingBytes = 4 * words * (new Set(text).size + 4) + 256 * 8;
    return { matches, ms, workingBytes };
  });
}

let collectGarbage: (() => void) | undefined;

/** Collects garbage until a collection frees nothing more, and returns the bytes of the heap in use. */
function heapBytes(): number {
  if (!collectGarbage) {
    setFlagsFromString("--expose-gc");
    collectGarbage = runInNewContext("gc") as () => void;
  }
  // A first collection can leave what finalizers and weak references still held.
  let bytes = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 5; i++) {
    collectGarbage();
    const { heapUsed } = process.memoryUsage();
    if (heapUsed >= bytes) break;
    bytes = heapUsed;
  }
  return bytes;
}
