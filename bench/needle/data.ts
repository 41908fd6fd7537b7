import { ResonantError } from "../../common/errors.ts";
import { below, oneOf, type Random } from "../random.ts";
import type { Vocabulary } from "./damage.ts";

/** How long a needle is: so many tokens, or as many as make up so many bytes. */
export interface NeedleSize {
  /** As it is written: `16`, or `48b`. */
  readonly name: string;
  readonly count: number;
  readonly unit: "tokens" | "bytes";
}

/** Reads `16` as tokens and `48b` as bytes; undefined for what is neither. */
export function needleSize(name: string): NeedleSize | undefined {
  const [, count, bytes] = /^([1-9]\d{0,5})(b?)$/.exec(name) ?? [];
  return count === undefined ? undefined : { name, count: Number(count), unit: bytes ? "bytes" : "tokens" };
}

/** What a haystack needs of a model. */
export interface Codec {
  /** One more than the largest id. */
  readonly vocabulary: number;
  /** Without special tokens. */
  encode(text: string): readonly number[];
  /** What a token adds to a text; empty for special tokens. */
  bytes(token: number): Uint8Array;
}

/** What contexts and needles are drawn from. */
export interface Source {
  readonly name: "random" | "text";
  readonly vocabulary: Vocabulary;
  /** So many tokens. */
  context(length: number, random: Random): Uint32Array;
  /** A needle of `context` and its place, a uniform one; undefined where that is none to be had. */
  present(context: Uint32Array, size: NeedleSize, random: Random): readonly number[] | undefined;
  /** A needle of the same kind that is not from any context; undefined as above. That it stands nowhere is not checked. */
  absent(size: NeedleSize, random: Random): readonly number[] | undefined;
}

/** For searches of strings an id is written as one UTF-16 code unit, and none that is half a surrogate pair. */
const MOST_IDS = 0xd800;

/** Tokens drawn uniformly from all that stand for bytes, of the first 55,296. */
export function randomTokens({ vocabulary, bytes }: Codec): Source {
  const alphabet = Array.from({ length: Math.min(vocabulary, MOST_IDS) }, (_, id) => id).filter(
    (id) => bytes(id).length > 0,
  );
  const draw = (length: number, random: Random): Uint32Array =>
    Uint32Array.from({ length }, () => oneOf(random, alphabet));
  return {
    name: "random",
    vocabulary: { alphabet },
    context: draw,
    present: (context, size, random) => cut(context, below(random, context.length), size, bytes),
    absent: (size, random) => cut(draw(size.count, random), 0, size, bytes),
  };
}

/**
 * A text's tokens: a context starts anywhere in its first nine tenths and goes round them as often as it is long;
 * absent needles are from the last tenth. Needles are whole characters that encode to themselves.
 * @throws ResonantError `invalid_argument` for a text of fewer than 1000 tokens
 */
export function textTokens(text: string, { encode, bytes }: Codec): Source {
  const tokens = Uint32Array.from(encode(text));
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
  const whole = (needle: readonly number[] | undefined): readonly number[] | undefined => {
    try {
      return needle && `${encode(decode(needle))}` === `${needle}` ? needle : undefined;
    } catch {
      return undefined; // it begins or ends within a character
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

/** A needle from its first token on; undefined where the tokens end before it. */
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

/** Every place where the needle's tokens stand, ascending. */
export function occurrencesOf(needle: readonly number[], context: Uint32Array): number[] {
  const places: number[] = [];
  const [first] = needle;
  if (first === undefined) return places;
  for (let at = context.indexOf(first); at >= 0; at = context.indexOf(first, at + 1)) {
    if (needle.every((token, i) => context[at + i] === token)) places.push(at);
  }
  return places;
}
