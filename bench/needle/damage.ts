import { below, oneOf, type Random, some } from "../random.ts";

/** The tokens that a damage may produce. */
export interface Vocabulary {
  /** Ids that may replace a token; at least two. */
  readonly alphabet: readonly number[];
  /** Converts text to ids and back; undefined if the haystack is not text. */
  readonly text?: {
    encode(text: string): Promise<readonly number[]>;
    decode(tokens: readonly number[]): string;
  };
}

type Damaged = number[] | undefined;

type Damage = (
  tokens: readonly number[],
  random: Random,
  vocabulary: Vocabulary,
) => Damaged | Promise<Damaged>;

/** Changes to a needle before the search. Each returns undefined if it is impossible or would change nothing. */
const damages = {
  /** Replaces a quarter of the tokens, rounded and at least one, each by another token. */
  replaced: (tokens, random, { alphabet }) => {
    const places = some(random, Math.max(1, Math.round(tokens.length / 4)), tokens.length);
    return tokens.map((token, i) => (places.has(i) ? another(token, random, alphabet) : token));
  },
  /** Inserts a token between two others. */
  inserted: (tokens, random, { alphabet }) => {
    if (tokens.length < 2) return undefined;
    return tokens.toSpliced(1 + below(random, tokens.length - 1), 0, oneOf(random, alphabet));
  },
  /** Deletes a token that is neither the first nor the last. */
  deleted: (tokens, random) => {
    if (tokens.length < 3) return undefined;
    return tokens.toSpliced(1 + below(random, tokens.length - 2), 1);
  },
  /** Swaps two neighbours that differ. */
  swapped: (tokens, random) => {
    const places = tokens.flatMap((token, i) => (i > 0 && token !== tokens[i - 1] ? [i - 1] : []));
    if (places.length === 0) return undefined;
    const at = oneOf(random, places);
    return tokens.toSpliced(at, 2, tokens[at + 1]!, tokens[at]!);
  },
  /** Changes the case of every letter. */
  case: (tokens, _, { text }) =>
    rewritten(tokens, text, (before) =>
      before.replace(/\p{L}/gu, (letter) => {
        const upper = letter.toUpperCase();
        return upper === letter ? letter.toLowerCase() : upper;
      }),
    ),
  /** Replaces every white-space character by two spaces or a line end, as rewrapping a text does. */
  spacing: (tokens, random, { text }) =>
    rewritten(tokens, text, (before) =>
      before.replace(/\s/gu, (space) => (space === "\n" || below(random, 2) === 0 ? "  " : "\n")),
    ),
} satisfies Record<string, Damage>;

export type DamageName = keyof typeof damages;

/** The names of all damages; `case` and `spacing` apply to text only. */
export const damageNames = Object.keys(damages) as DamageName[];
export const isOfText = (name: DamageName): boolean => name === "case" || name === "spacing";

/** Returns the damaged needle's tokens; undefined if the damage is impossible or changes nothing. */
export async function damage(
  name: DamageName,
  tokens: readonly number[],
  random: Random,
  vocabulary: Vocabulary,
): Promise<readonly number[] | undefined> {
  return damages[name](tokens, random, vocabulary);
}

function another(token: number, random: Random, alphabet: readonly number[]): number {
  const others = alphabet.includes(token) ? alphabet.length - 1 : alphabet.length;
  const pick = alphabet[below(random, others)]!;
  return pick === token ? alphabet.at(-1)! : pick;
}

async function rewritten(
  tokens: readonly number[],
  text: Vocabulary["text"],
  change: (text: string) => string,
): Promise<Damaged> {
  const before = text?.decode(tokens);
  const after = before === undefined ? before : change(before);
  return text === undefined || after === undefined || after === before
    ? undefined
    : [...(await text.encode(after))];
}
