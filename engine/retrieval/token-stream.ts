import { macrotask } from "../../common/macrotask.ts";
import type { EncodeOptions } from "../../weights/tokenizer.ts";
import { type TextSource, TextWindow } from "./text-source.ts";
import { TokenSpans } from "./token-spans.ts";

/** Consecutive tokens and their text. */
export interface TokenBlock {
  /** `[n]`, n ≥ 1. */
  readonly tokens: Uint32Array;
  /** UTF-16 offsets in the whole text, widened to whole characters, `[n]` each: see {@link TokenSpans}. */
  readonly starts: Float64Array;
  readonly ends: Float64Array;
  /** The text from the end of the previous block to the end of this one. */
  readonly text: string;
  /** UTF-16 offset of `text`. */
  readonly offset: number;
}

export interface TokenStreamOptions {
  readonly signal?: AbortSignal | undefined;
  /** The characters per piece, and in the overlap of two pieces. Tests change the defaults. */
  readonly piece?: number;
  readonly overlap?: number;
}

/** The parts of a model that it uses. */
interface Encoder {
  encode(text: string, options?: EncodeOptions): Promise<number[]>;
  tokenBytes(token: number): Uint8Array;
}

/** An encoded part of the text. */
interface Piece {
  readonly tokens: readonly number[];
  readonly spans: TokenSpans;
}

/** The fraction of an overlap over which two pieces must agree. */
const AGREEMENT = 1 / 8;
/** The factor by which an overlap grows if the pieces do not agree. */
const WIDER = 8;
/** The maximum number of pieces that are encoded as one if they do not agree. */
const LONGEST = 16;
/** Milliseconds of work after which the stream yields to the event loop. */
const TURN = 8;
/** The characters of the sample that shows which tokens a tokenizer puts around a text. */
const SAMPLE = 256;

/**
 * Encodes a text of any length to the same tokens as in one call, in memory that does not depend on its length.
 *
 * It is unknown how much context a tokenizer uses. So pieces of the text overlap, and two pieces are joined in the middle of
 * the longest run of equal tokens at equal places: there, the text before the one and after the other has no effect. If
 * there is no such run (one character repeated, merged into long tokens from its start), the overlap is widened, and at last
 * up to 16 pieces are encoded as one. A text without such a run within 1 Mi characters is cut there, as if it ended and a
 * new one began.
 */
export class TokenStream {
  readonly #model: Encoder;
  readonly #window: TextWindow;
  readonly #signal: AbortSignal | undefined;
  readonly #piece: number;
  readonly #overlap: number;
  #around: { readonly before: readonly number[]; readonly after: readonly number[] } | undefined;
  /** The end of the last block. */
  #told = 0;
  #bytes = 0;
  /** The time of the last yield to the event loop. */
  #turned = performance.now();

  constructor(model: Encoder, text: TextSource, options: TokenStreamOptions = {}) {
    const { signal, piece = 65_536, overlap = 512 } = options;
    this.#model = model;
    this.#window = new TextWindow(text, signal);
    this.#signal = signal;
    this.#piece = piece;
    this.#overlap = overlap;
  }

  /** The peak memory so far in bytes: text, tokens, places. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Yields the tokens; can be called once. Yields to the event loop from time to time, between pieces.
   * @throws the signal's reason; errors of the iterator of the text and of the tokenizer
   */
  async *blocks(): AsyncGenerator<TokenBlock, void, undefined> {
    const window = this.#window;
    try {
      await window.fill(0);
      if (window.text === "") return;
      let end = await this.#reach(this.#piece);
      let held = await this.#encode(0, end);
      let done = 0;
      while (await window.fill(end)) {
        const next = await this.#continue(held, done, end);
        if (next.held > done) yield this.#block(held, done, next.held);
        window.drop(next.start);
        end = next.end - next.start;
        held = next.piece;
        done = next.done;
      }
      if (held.tokens.length > done) yield this.#block(held, done, held.tokens.length);
    } finally {
      window.close();
    }
  }

  /** The piece `[start, end)` after `held`, to be taken from its token `done` on after the first `held` of that. */
  async #continue(
    held: Piece,
    done: number,
    heldEnd: number,
  ): Promise<{ piece: Piece; start: number; end: number; held: number; done: number }> {
    const told = held.spans.floor[done] ?? heldEnd;
    for (let overlap = this.#overlap; overlap <= this.#piece / 2; overlap *= WIDER) {
      const start = this.#afterSpaces(heldEnd - overlap);
      if (start <= told) break;
      if (start > heldEnd - overlap / 2) continue;
      const end = await this.#reach(start + this.#piece);
      const piece = await this.#encode(start, end, held);
      const join = findJoin(held.tokens, held.spans, piece.tokens, piece.spans, start, overlap * AGREEMENT);
      if (join) return { piece, start, end, held: join[0], done: join[1] };
    }
    const longest = LONGEST * this.#piece;
    if (heldEnd >= longest) {
      const end = await this.#reach(heldEnd + this.#piece);
      const piece = await this.#encode(heldEnd, end, held);
      return { piece, start: heldEnd, end, held: held.tokens.length, done: 0 };
    }
    const end = await this.#reach(Math.min(longest, 2 * heldEnd));
    const piece = await this.#encode(0, end, held);
    return { piece, start: 0, end, held: done, done: done === 0 ? 0 : lowerBound(piece.spans.floor, told) };
  }

  /** Moves the start of a piece past spaces, so that a space added by the tokenizer is not mistaken for one of the text. */
  #afterSpaces(index: number): number {
    let at = this.#window.cut(index);
    while (this.#window.text[at] === " ") at++;
    return at;
  }

  /** Returns the actual end of a piece that should end at `index`. */
  async #reach(index: number): Promise<number> {
    await this.#window.fill(index);
    return this.#window.cut(index);
  }

  /** Encodes `[start, end)`. `beside`: another piece that is kept meanwhile, counted in {@link bytes}. */
  async #encode(start: number, end: number, beside?: Piece): Promise<Piece> {
    const { text, offset } = this.#window;
    const part = text.slice(start, end);
    const [first, last] = [offset + start === 0, end === text.length];
    let tokens: readonly number[];
    if (first && last) tokens = await this.#model.encode(part);
    else {
      this.#around ??= await aroundText(this.#model, text.slice(0, this.#window.cut(SAMPLE)));
      const { before, after } = this.#around;
      tokens = await this.#model.encode(part, { special: false });
      if (first && before.length > 0) tokens = [...before, ...tokens];
      if (last && after.length > 0) tokens = [...tokens, ...after];
    }
    const piece = { tokens, spans: new TokenSpans(part, tokens, (token) => this.#model.tokenBytes(token)) };
    this.#bytes = Math.max(this.#bytes, 2 * text.length + bytesOf(piece) + (beside ? bytesOf(beside) : 0));
    if (performance.now() - this.#turned > TURN) {
      await macrotask();
      this.#turned = performance.now();
    }
    this.#signal?.throwIfAborted();
    return piece;
  }

  /** Returns the tokens `[from, to)` of the piece at the start of the window. */
  #block({ tokens, spans }: Piece, from: number, to: number): TokenBlock {
    const { text, offset } = this.#window;
    const { floor, ceil } = spans;
    const count = to - from;
    const block = {
      tokens: new Uint32Array(count),
      starts: new Float64Array(count),
      ends: new Float64Array(count),
    };
    for (let i = 0; i < count; i++) {
      const at = from + i;
      block.tokens[i] = tokens[at]!;
      block.starts[i] = offset + floor[at]!;
      block.ends[i] = offset + Math.max(floor[at]!, ceil[at + 1]!);
    }
    const start = this.#told;
    this.#told = offset + ceil[to]!;
    return { ...block, text: text.slice(start - offset, this.#told - offset), offset: start };
  }
}

/** Returns the special tokens that a tokenizer puts before and after a text. */
async function aroundText(
  model: Encoder,
  sample: string,
): Promise<{ readonly before: readonly number[]; readonly after: readonly number[] }> {
  const [full, bare] = [await model.encode(sample), await model.encode(sample, { special: false })];
  const before = full.findIndex((_, at) => bare.every((token, i) => full[at + i] === token));
  if (before < 0) return { before: [], after: [] };
  return { before: full.slice(0, before), after: full.slice(before + bare.length) };
}

/**
 * Finds where to join two encodings of overlapping texts: the index of a token in each, in the middle of the longest run of
 * equal tokens at equal places.
 * @param shift the offset of the second text in the first
 * @param least the minimum characters of the run
 */
function findJoin(
  a: readonly number[],
  inA: TokenSpans,
  b: readonly number[],
  inB: TokenSpans,
  shift: number,
  least: number,
): [inA: number, inB: number] | undefined {
  // Only places between characters count, since places inside one are all equal after rounding.
  const place = ({ floor, ceil }: TokenSpans, i: number): number | undefined =>
    floor[i] === ceil[i] ? floor[i] : undefined;
  let best: { i: number; j: number; length: number; span: number } | undefined;
  let [i, j] = [lowerBound(inA.floor, shift), 0];
  while (i < a.length && j < b.length) {
    const [p, q] = [place(inA, i), place(inB, j)];
    if (p === undefined) i++;
    else if (q === undefined) j++;
    else if (p < q + shift) i++;
    else if (p > q + shift) j++;
    else {
      let length = 0;
      while (
        i + length < a.length &&
        a[i + length] === b[j + length] &&
        inA.floor[i + length + 1] === inB.floor[j + length + 1]! + shift
      ) {
        length++;
      }
      const span = inA.floor[i + length]! - p;
      if (length > 0 && span > (best?.span ?? 0)) best = { i, j, length, span };
      i += length + 1;
      j += length + 1;
    }
  }
  if (!best || best.span < least) return undefined;
  const middle = inA.floor[best.i]! + best.span / 2;
  for (let k = lowerBound(inA.floor, middle) - best.i; k < best.length; k++) {
    const at = best.i + k;
    // The first token at this place, since a token without text may precede it.
    if (place(inA, at) !== undefined && inA.floor[at]! > (inA.floor[at - 1] ?? -1)) return [at, best.j + k];
  }
  return undefined;
}

/** Returns the first index of a sorted array whose value is at least `value`. */
function lowerBound(sorted: Uint32Array, value: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

const bytesOf = ({ tokens, spans }: Piece): number =>
  8 * tokens.length + spans.floor.byteLength + spans.ceil.byteLength;
