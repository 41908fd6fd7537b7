/** How far to search for the text of a token after the tokenizer left out part of the context. */
const LOOK_AHEAD = 64;
/** The bytes that must match there, if the following tokens have as many. */
const PHRASE = 8;

/**
 * The places of tokens in their text, in UTF-16 units. With most tokenizers the bytes of the tokens are those of the text.
 * If they differ (a space added before the text, characters normalized or without a token), the next place that matches is
 * used, or a range as long as the bytes of the token if there is none.
 */
export class TokenSpans {
  /** The start of each token and the end of the text, `[tokens + 1]`. Inside a character: rounded down and up. */
  readonly floor: Uint32Array;
  readonly ceil: Uint32Array;

  /** @param bytesOf the bytes of a token; empty for one without text, which extends to the next token with text */
  constructor(text: string, tokens: readonly number[], bytesOf: (token: number) => Uint8Array) {
    const bytes = new TextEncoder().encode(text);
    const floor = bytePlaces(bytes, tokens, bytesOf);
    const ceil = new Uint32Array(floor.length);
    let [character, unit] = [0, 0];
    for (let index = 0; index < floor.length; index++) {
      const place = floor[index]!;
      let width = 0;
      while (character < place) {
        width = widthOf(bytes[character]!);
        if (character + width > place) break;
        character += width;
        unit += unitsOf(width);
      }
      floor[index] = unit;
      ceil[index] = character < place ? unit + unitsOf(width) : unit;
    }
    this.floor = floor;
    this.ceil = ceil;
  }

  /** Returns the range `[start, end)` of `length` tokens from `first` on, widened to whole characters. */
  span(first: number, length: number): [start: number, end: number] {
    const start = this.floor[first]!;
    return [start, Math.max(start, this.ceil[first + length]!)];
  }
}

const SPACE = 0x20;

/** Returns the byte offsets of the tokens and of the end of the text: `[tokens + 1]`. */
function bytePlaces(
  bytes: Uint8Array,
  tokens: readonly number[],
  bytesOf: (token: number) => Uint8Array,
): Uint32Array {
  const places = new Uint32Array(tokens.length + 1);
  let cursor = 0;
  for (let index = 0; index < tokens.length; index++) {
    const piece = bytesOf(tokens[index]!);
    let length = piece.length;
    if (length > 0 && !agrees(bytes, cursor, piece)) {
      if (piece[0] === SPACE && agrees(bytes, cursor, piece.subarray(1))) length--;
      else cursor = find(bytes, cursor, phraseAt(tokens, index, bytesOf)) ?? cursor;
    }
    places[index] = cursor;
    cursor = Math.min(bytes.length, cursor + length);
  }
  places[tokens.length] = bytes.length;
  return places;
}

const widthOf = (lead: number): number => (lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4);

/** Returns the UTF-16 units of a character of `width` UTF-8 bytes. */
const unitsOf = (width: number): number => (width === 4 ? 2 : 1);

function agrees(bytes: Uint8Array, at: number, piece: Uint8Array): boolean {
  if (at + piece.length > bytes.length) return false;
  for (let i = 0; i < piece.length; i++) {
    if (bytes[at + i] !== piece[i]) return false;
  }
  return true;
}

/** Returns the bytes of the tokens from `index` on, up to one without text. */
function phraseAt(
  tokens: readonly number[],
  index: number,
  bytesOf: (token: number) => Uint8Array,
): Uint8Array {
  const phrase: number[] = [];
  for (let i = index; i < tokens.length && phrase.length < PHRASE; i++) {
    const piece = bytesOf(tokens[i]!);
    if (piece.length === 0) break;
    phrase.push(...piece);
  }
  return Uint8Array.from(phrase);
}

function find(bytes: Uint8Array, from: number, phrase: Uint8Array): number | undefined {
  for (let at = from; at <= from + LOOK_AHEAD; at++) {
    if (agrees(bytes, at, phrase)) return at;
  }
  return undefined;
}
