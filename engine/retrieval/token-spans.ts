/** How far a token's text is looked for where the tokenizer left some of the context out. */
const LOOK_AHEAD = 64;
/** Bytes that must agree there, if the tokens that follow have as many. */
const PHRASE = 8;

/**
 * Where tokens lie in the text they were made from, in UTF-16 units. Their bytes are the text's with most tokenizers;
 * where not — a space put before the text, characters normalized or without a token — the next place that agrees is
 * taken, and where there is none, a stretch as long as the token's bytes.
 */
export class TokenSpans {
  /** Where each token starts, and the text's end, `[tokens + 1]`; within a character: before it, and after it. */
  readonly floor: Uint32Array;
  readonly ceil: Uint32Array;

  /** @param bytesOf a token's bytes; none for one that stands for no text, which lasts until the next that does */
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

  /** `[start, end)` of `length` tokens from `first` on, widened to whole characters. */
  span(first: number, length: number): [start: number, end: number] {
    const start = this.floor[first]!;
    return [start, Math.max(start, this.ceil[first + length]!)];
  }
}

const SPACE = 0x20;

/** Where tokens start in a text's bytes, and its end: `[tokens + 1]`. */
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

/** UTF-16 units of a character of so many UTF-8 bytes. */
const unitsOf = (width: number): number => (width === 4 ? 2 : 1);

function agrees(bytes: Uint8Array, at: number, piece: Uint8Array): boolean {
  if (at + piece.length > bytes.length) return false;
  for (let i = 0; i < piece.length; i++) {
    if (bytes[at + i] !== piece[i]) return false;
  }
  return true;
}

/** The bytes of the token at `index` and of those after it, up to one that stands for no text. */
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
