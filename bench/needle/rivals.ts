import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type MiniSearch from "minisearch";
import { ResonantError } from "../../common/errors.ts";
import type { Codec } from "./data.ts";
import type { Found, Hit, Searcher } from "./searcher.ts";

/** What a search for strings is given in the place of tokens. */
export interface Surface {
  readonly text: string;
  /** The token that a code unit is of, and the code unit that a token starts at. */
  token(unit: number): number;
  unit(token: number): number;
}

/** How a source's tokens are written as strings, and what its words are. */
export interface Script {
  write(tokens: ArrayLike<number>): Surface;
  /** Words for BM25, each with its place. */
  terms(text: string): { readonly term: string; readonly at: number }[];
}

/** Random tokens: a token is a code unit, and a word. */
export const tokenScript: Script = {
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

/** Text: its UTF-8 bytes, each a code unit; words are runs of letters and digits, of other scripts' bytes too, in lower case. */
export function textScript({ bytes }: Pick<Codec, "bytes">): Script {
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

/** Strings that were put together piece by piece are read faster once they are one. */
const flat = (text: string): string => Buffer.from(text, "utf16le").toString("utf16le");

/** The first index whose number is above `value`. */
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
 * What one would use otherwise, each from a library of its own that is only loaded here.
 * @throws ResonantError `unsupported` where one of them is not installed
 */
export async function loadRivals(): Promise<(script: Script) => Searcher[]> {
  try {
    const [{ default: StreamSearch }, { default: Index }, { default: approximate }] = await Promise.all([
      import("streamsearch"),
      import("minisearch"),
      import("approx-string-match"),
    ]);
    return (script) => [
      exactSearch(script, StreamSearch),
      bm25Search(script, Index),
      editSearch(script, approximate),
    ];
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw cause;
    throw new ResonantError("unsupported", "the libraries to compare with are not installed", {
      where: "eval needle",
      fix: "Run: npm install streamsearch minisearch approx-string-match; or compare with none: --no-rivals",
      cause,
    });
  }
}

/** Writes context and needles, which takes no part of the time, and reads places back as tokens. */
function overStrings(
  name: string,
  script: Script,
  search: (context: Written, needles: readonly Written[], topK: number) => StringsFound,
): Searcher {
  const known = new WeakMap<Uint32Array, Written>();
  return {
    name,
    search: async (context, needles, topK): Promise<Found> => {
      const written = known.get(context) ?? write(script, context);
      known.set(context, written);
      const { places, ...costs } = search(
        written,
        needles.map(({ tokens }) => write(script, tokens)),
        topK,
      );
      const { token } = written.surface;
      return {
        hits: places.map((list) =>
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
  readonly surface: Surface;
  readonly text: string;
}

const write = (script: Script, tokens: ArrayLike<number>): Written => {
  const surface = script.write(tokens);
  return { surface, text: surface.text };
};

interface Place extends Pick<Hit, "similarity" | "confidence"> {
  /** Code units; the end is exclusive. */
  readonly start: number;
  readonly end: number;
}

interface StringsFound extends Pick<Found, "ms" | "indexMs" | "workingBytes"> {
  readonly places: readonly (readonly Place[])[];
}

/**
 * Boyer–Moore–Horspool over UTF-8, in which no character is found within others: where all is the needle's, confidence
 * is 1. Occurrences that overlap one before are left out.
 */
function exactSearch(script: Script, StreamSearch: typeof import("streamsearch")): Searcher {
  const buffers = new WeakMap<Written, Buffer>();
  return overStrings("exact", script, (context, needles, topK) => {
    const haystack = buffers.get(context) ?? Buffer.from(context.text);
    buffers.set(context, haystack);
    let [ms, indexMs] = [0, 0];
    const places = needles.map(({ text }) => {
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
      return offsets.map((offset): Place => {
        const first = haystack.toString("utf8", 0, offset).length;
        return { start: first, end: first + text.length, similarity: 1, confidence: 1 };
      });
    });
    // Its table of 256 skips, the needle and as much of what went before.
    return { places, ms, indexMs, workingBytes: 256 + 2 * Buffer.byteLength(needles[0]?.text ?? "") };
  });
}

/**
 * Okapi BM25 (its variant BM25+) over windows of twice the needle's length, each half over the next, so that one
 * holds the needle whole. Within a window the place is where most of the words it shares with the needle would have
 * it. Confidence is the window's score, which has no upper bound.
 */
function bm25Search(script: Script, Index: typeof MiniSearch): Searcher {
  return overStrings("bm25", script, (context, needles, topK) => {
    const alone = needles.length === 1;
    let [ms, indexMs, workingBytes] = [0, 0, 0];
    const indexes = new Map<number, MiniSearch>();
    const places = needles.map(({ text }) => {
      // Damaged needles are a little longer or shorter; they share the windows of a round length.
      const step = Math.max(8, 8 * Math.round(text.length / 8));
      let index = indexes.get(step);
      if (!index) {
        const before = alone ? heapBytes() : 0;
        const start = performance.now();
        index = new Index({
          fields: ["text"],
          tokenize: (words) => script.terms(words).map(({ term }) => term),
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
      const found: Place[] = [];
      const words = script.terms(text);
      for (const { id, score } of index.search(text).slice(0, 4 * topK)) {
        const window = context.text.slice(id, id + 2 * step);
        const at = Math.max(0, id + align(words, script.terms(window)));
        if (found.some((better) => Math.abs(better.start - at) < text.length)) continue;
        const end = Math.min(context.text.length, at + text.length);
        found.push({ start: Math.min(at, end - 1), end, similarity: score, confidence: score });
        if (found.length === topK) break;
      }
      ms += performance.now() - start;
      return found;
    });
    return { places, ms, indexMs, workingBytes };
  });
}

type Terms = ReturnType<Script["terms"]>;

/** Where in the window the needle starts, as most of the words they share have it; the first of equals. */
function align(needle: Terms, window: Terms): number {
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

/** Myers 1999, bit-parallel: the places of fewest edits, at most half the needle's length. Confidence is 1 − edits / length. */
function editSearch(script: Script, approximate: typeof import("approx-string-match").default): Searcher {
  return overStrings("edit", script, (context, needles, topK) => {
    const start = performance.now();
    const places = needles.map(({ text }) => {
      const found: Place[] = [];
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
    // Bit vectors of 32-bit words: one for each character of the needle, and four; a table of 256 references.
    const workingBytes = 4 * words * (new Set(text).size + 4) + 256 * 8;
    return { places, ms, workingBytes };
  });
}

let collectGarbage: (() => void) | undefined;

/** Bytes of the heap that are in use, garbage aside. */
function heapBytes(): number {
  if (!collectGarbage) {
    setFlagsFromString("--expose-gc");
    collectGarbage = runInNewContext("gc") as () => void;
  }
  collectGarbage();
  return process.memoryUsage().heapUsed;
}
