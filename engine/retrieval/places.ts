import type { Peak } from "./peaks.ts";
import type { TokenBlock } from "./token-stream.ts";

/** The place of a match in the context. */
export interface Place {
  /** The context from `start` to `end`. */
  readonly text: string;
  /** The index of its first token. */
  readonly position: number;
  /** UTF-16 offsets in the context; never within a character. */
  readonly start: number;
  readonly end: number;
  /** The text around it, if requested. */
  readonly surroundings?: Surroundings;
}

export interface Surroundings {
  readonly before: string;
  readonly after: string;
  /** Its line number, from 1: one more than the number of line feeds before it. */
  readonly line: number;
}

/** A block that is still kept, and counts of what was before it. */
interface Held extends TokenBlock {
  /** The number of tokens before it. */
  readonly first: number;
  /** The number of line feeds before it. */
  readonly lines: number;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };
type Noted = Omit<Place, "surroundings"> & { readonly surroundings: Writable<Surroundings> };

/**
 * Finds the places of peaks in a streamed text. It keeps the last blocks, and the place and text of each peak that was
 * noted while its blocks were kept.
 */
export class Places {
  readonly #reach: number;
  readonly #around: number;
  #held: Held[] = [];
  #noted = new Map<string, Noted>();

  /**
   * @param reach a new peak begins at most this many tokens before the last block
   * @param around UTF-16 units of text to keep before and after a place
   */
  constructor(reach: number, around: number) {
    this.#reach = reach;
    this.#around = around;
  }

  /** The bytes that it holds. */
  get bytes(): number {
    let bytes = 0;
    for (const { tokens, text } of this.#held) bytes += 20 * tokens.length + 2 * text.length;
    for (const { text, surroundings } of this.#noted.values()) {
      bytes += 2 * (text.length + surroundings.before.length + surroundings.after.length) + 32;
    }
    return bytes;
  }

  /** Adds the next tokens of the context. */
  push(block: TokenBlock): void {
    const last = this.#held.at(-1);
    const first = last ? last.first + last.tokens.length : 0;
    const lines = last ? last.lines + lineFeeds(last.text) : 0;
    this.#held.push({ ...block, first, lines });
    for (const { end, surroundings } of this.#noted.values()) {
      const missing = this.#around - surroundings.after.length;
      if (missing > 0 && end + surroundings.after.length === block.offset) {
        surroundings.after = copy(surroundings.after + block.text.slice(0, missing));
      }
    }
    const needed = this.#held.findIndex((held) => held.first + held.tokens.length > first - this.#reach);
    const start = this.#held[needed]!.offset - this.#around;
    this.#held = this.#held.filter((held, i) => i >= needed || held.offset + held.text.length > start);
  }

  /** Notes the places of these peaks and drops all others. `spaced`: the cue has an added leading space. */
  note(peaks: readonly { readonly peak: Peak; readonly spaced: boolean }[]): void {
    const noted = new Map<string, Noted>();
    for (const { peak, spaced } of peaks) {
      const key = keyOf(peak, spaced);
      const place = this.#noted.get(key) ?? this.#find(peak, spaced);
      if (place) noted.set(key, place);
    }
    this.#noted = noted;
  }

  /** Returns the place of a peak from the last {@link note}; undefined if it was out of reach. */
  at(peak: Peak, spaced: boolean): Place | undefined {
    const noted = this.#noted.get(keyOf(peak, spaced));
    if (!noted || this.#around > 0) return noted;
    const { surroundings: _, ...place } = noted;
    return place;
  }

  #find({ position, length }: Peak, spaced: boolean): Noted | undefined {
    const from = this.#holding(position);
    const to = this.#holding(position + length - 1);
    if (!from || !to) return undefined;
    let [first, start] = [position, from.starts[position - from.first]!];
    const end = Math.max(start, to.ends[position + length - 1 - to.first]!);
    // The space that was added to the cue is not part of the match.
    if (spaced && start + 1 < end && this.#slice(start, start + 1) === " ") {
      if (from.ends[position - from.first] === start + 1) first++;
      start++;
    }
    return {
      text: copy(this.#slice(start, end)),
      position: first,
      start,
      end,
      surroundings: {
        before: copy(this.#slice(start - this.#around, start)),
        after: copy(this.#slice(end, end + this.#around)),
        line: 1 + from.lines + lineFeeds(this.#slice(from.offset, start)),
      },
    };
  }

  #holding(token: number): Held | undefined {
    return this.#held.find(({ first, tokens }) => token >= first && token < first + tokens.length);
  }

  /** Returns the kept part of the context from `start` to `end`. */
  #slice(start: number, end: number): string {
    return this.#held
      .map(({ text, offset }) => text.slice(Math.max(0, start - offset), Math.max(0, end - offset)))
      .join("");
  }
}

const keyOf = ({ position, length }: Peak, spaced: boolean): string => `${position} ${length} ${spaced}`;

function lineFeeds(text: string): number {
  let count = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count++;
  return count;
}

/** Copies a text to its own memory, since a slice would keep the whole original alive. */
const copy = (text: string): string => JSON.parse(JSON.stringify(text)) as string;
