import { below, oneOf, type Random, some } from "../random.ts";

/** What a damage needs to know of the tokens it makes. */
export interface Vocabulary {
  /** Ids that a token may be replaced by; two or more. */
  readonly alphabet: readonly number[];
  /** Text to ids and back, where the haystack is text. */
  readonly text?: { encode(text: string): readonly number[]; decode(tokens: readonly number[]): string };
}

type Damage = (tokens: readonly number[], random: Random, vocabulary: Vocabulary) => number[] | undefined;

/** What is done to a needle before it is looked for; undefined where it cannot be done, or would change nothing. */
const damages = {
  /** A quarter of the tokens, rounded, at least one, each for another. */
  replaced: (tokens, random, { alphabet }) => {
    const places = some(random, Math.max(1, Math.round(tokens.length / 4)), tokens.length);
    return tokens.map((token, i) => (places.has(i) ? another(token, random, alphabet) : token));
  },
  /** One token more, between two. */
  inserted: (tokens, random, { alphabet }) => {
    if (tokens.length < 2) return undefined;
    return tokens.toSpliced(1 + below(random, tokens.length - 1), 0, oneOf(random, alphabet));
  },
  /** One token less, neither the first nor the last. */
  deleted: (tokens, random) => {
    if (tokens.length < 3) return undefined;
    return tokens.toSpliced(1 + below(random, tokens.length - 2), 1);
  },
  /** Two different neighbours in each other's place. */
  swapped: (tokens, random) => {
    const places = tokens.flatMap((token, i) => (i > 0 && token !== tokens[i - 1] ? [i - 1] : []));
    if (places.length === 0) return undefined;
    const at = oneOf(random, places);
    return tokens.toSpliced(at, 2, tokens[at + 1]!, tokens[at]!);
  },
  /** Every letter in the other case. */
  case: (tokens, _, { text }) =>
    rewritten(tokens, text, (before) =>
      before.replace(/\p{L}/gu, (letter) => {
        const upper = letter.toUpperCase();
        return upper === letter ? letter.toLowerCase() : upper;
      }),
    ),
  /** Every white-space character as two spaces or a line's end, as rewrapped text has it. */
  spacing: (tokens, random, { text }) =>
    rewritten(tokens, text, (before) =>
      before.replace(/\s/gu, (space) => (space === "\n" || below(random, 2) === 0 ? "  " : "\n")),
    ),
} satisfies Record<string, Damage>;

export type DamageName = keyof typeof damages;

/** All of them; `case` and `spacing` are of text alone. */
export const damageNames = Object.keys(damages) as DamageName[];
export const isOfText = (name: DamageName): boolean => name === "case" || name === "spacing";

/** A needle's tokens, damaged; undefined where this cannot be done to it, or leaves it as it is. */
export function damage(
  name: DamageName,
  tokens: readonly number[],
  random: Random,
  vocabulary: Vocabulary,
): readonly number[] | undefined {
  return damages[name](tokens, random, vocabulary);
}

function another(token: number, random: Random, alphabet: readonly number[]): number {
  const others = alphabet.includes(token) ? alphabet.length - 1 : alphabet.length;
  const pick = alphabet[below(random, others)]!;
  return pick === token ? alphabet.at(-1)! : pick;
}

function rewritten(
  tokens: readonly number[],
  text: Vocabulary["text"],
  change: (text: string) => string,
): number[] | undefined {
  const before = text?.decode(tokens);
  const after = before === undefined ? before : change(before);
  return text === undefined || after === undefined || after === before ? undefined : [...text.encode(after)];
}
