import { ResonantError } from "../../common/errors.ts";
import { below, oneOf, type Random } from "../random.ts";
import type { Vocabulary } from "./damage.ts";

/** The length of a needle: a number of tokens, or as many tokens as contain a number of bytes. */
export interface NeedleSize {
  /** The size as the user writes it: `16` or `48b`. */
  readonly name: string;
  readonly count: number;
  readonly unit: "tokens" | "bytes";
}

/** Parses a size: `16` means tokens, `48b` bytes. Undefined if the text has neither form. */
export function needleSize(name: string): NeedleSize | undefined {
  const [, count, bytes] = /^([1-9]\d{0,5})(b?)$/.exec(name) ?? [];
  return count === undefined ? undefined : { name, count: Number(count), unit: bytes ? "bytes" : "tokens" };
}

/** The parts of a model's tokenizer that a haystack needs. */
export interface Codec {
  /** The largest id plus one. */
  readonly vocabulary: number;
  /** Returns the ids of a text, without special tokens. */
  encode(text: string): Promise<readonly number[]>;
  /** Returns the bytes that a token adds to a text; empty for special tokens. */
  bytes(token: number): Uint8Array;
}

/** A needle that was drawn; undefined if none fits. */
export type Needle = Promise<readonly number[] | undefined>;

/** Draws contexts and needles. */
export interface Source {
  readonly name: "random" | "text";
  readonly vocabulary: Vocabulary;
  /** Draws a context of `length` tokens. */
  context(length: number, random: Random): Uint32Array;
  /** Draws a needle at a uniform position in `context`; undefined if no needle fits there. */
  present(context: Uint32Array, size: NeedleSize, random: Random): Needle;
  /** Draws a needle of the same kind from outside all contexts; undefined if none fits. Does not check that it is absent. */
  absent(size: NeedleSize, random: Random): Needle;
}

/** String searches write an id as one UTF-16 code unit; ids from here on would be surrogates. */
const FIRST_SURROGATE = 0xd800;

/** Draws tokens uniformly from those of the first 55,296 ids that stand for bytes. */
export function randomTokens({ vocabulary, bytes }: Codec): Source {
  const alphabet = Array.from({ length: Math.min(vocabulary, FIRST_SURROGATE) }, (_, id) => id).filter(
    (id) => bytes(id).length > 0,
  );
  const draw = (length: number, random: Random): Uint32Array =>
    Uint32Array.from({ length }, () => oneOf(random, alphabet));
  return {
    name: "random",
    vocabulary: { alphabet },
    context: draw,
    present: async (context, size, random) => cut(context, below(random, context.length), size, bytes),
    absent: async (size, random) => cut(draw(size.count, random), 0, size, bytes),
  };
}

/**
 * Draws tokens of a text. A context starts anywhere in the first nine tenths of the text and repeats them as often as needed;
 * absent needles come from the last tenth. Needles consist of whole characters, and encoding them again gives the same tokens.
 * @throws ResonantError `invalid_argument` if the text has fewer than 1000 tokens
 */
export async function textTokens(text: string, { encode, bytes }: Codec): Promise<Source> {
  const tokens = Uint32Array.from(await encode(text));
  if (tokens.length < 1000) {
    throw new ResonantError("invalid_argument", `${tokens.length} tokens of text are too few for haystacks`, {
      fix: "At least 1000 are needed",
    });
  }
  const searched = tokens.subarray(0, Math.floor(0.9 * tokens.length));
  const apart = tokens.subarray(searched.length);
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const decode = (ids: readonly number[]): string =>
    decoder.decode(Uint8Array.from(ids.flatMap((id) => [...bytes(id)])));
  const whole = async (needle: readonly number[] | undefined): Needle => {
    try {
      return needle && `${await encode(decode(needle))}` === `${needle}` ? needle : undefined;
    } catch {
      return undefined; // the needle begins or ends within a character
    }
  };
  return {
    name: "text",
    vocabulary: { alphabet: [...new Set(tokens)].sort((a, b) => a - b), text: { encode, decode } },
    context: (length, random) => {
      const start = below(random, searched.length);
      return Uint32Array.from({ length }, (_, i) => searched[(start + i) % searched.length]!);
    },
    present: (context, size, random) => whole(cut(context, below(random, context.length), size, bytes)),
    absent: (size, random) => whole(cut(apart, below(random, apart.length), size, bytes)),
  };
}

/** Cuts a needle that starts at `start`; undefined if the tokens end before the needle does. */
function cut(
  tokens: Uint32Array,
  start: number,
  { unit, count }: NeedleSize,
  bytes: Codec["bytes"],
): readonly number[] | undefined {
  let end = start;
  for (let size = 0; size < count; end++) {
    if (end >= tokens.length) return undefined;
    size += unit === "tokens" ? 1 : bytes(tokens[end]!).length;
  }
  return [...tokens.subarray(start, end)];
}

/** Returns every position at which the needle occurs, ascending. */
export function occurrencesOf(needle: readonly number[], context: Uint32Array): number[] {
  const places: number[] = [];
  const [first] = needle;
  if (first === undefined) return places;
  for (let at = context.indexOf(first); at >= 0; at = context.indexOf(first, at + 1)) {
    if (needle.every((token, i) => context[at + i] === token)) places.push(at);
  }
  return places;
}
