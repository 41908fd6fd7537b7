import { ResonantError } from "../common/errors.ts";

/** How tokens become text. */
export interface TokenText {
  /** The text of a whole sequence, for tokenizers where that is not simply its tokens' bytes in order. */
  decode?: (tokens: readonly string[]) => string;
  /** `literal` is for an added token, which stands for its own text. */
  bytes(token: string, literal: boolean): Uint8Array;
}

type Json = Record<string, unknown>;

/**
 * Reads from a parsed `tokenizer.json` how tokens become text.
 * @throws ResonantError `unsupported` if the bytes of a token would depend on its neighbours
 */
export function tokenText(json: Json, name: string): TokenText {
  const decoders = flatten(json.decoder, "decoders");
  const types = decoders.map(({ type }) => type);
  const byteLevel = types.includes("ByteLevel");
  if (byteLevel || (types.length === 0 && flatten(json.pre_tokenizer, "pretokenizers").some(isByteLevel))) {
    return {
      bytes: (token, literal) => (literal ? encodeUtf8(token) : byteLevelBytes(token)),
    };
  }
  const unknown = decoders.find((decoder) => !isMarkDecoder(decoder));
  if (unknown !== undefined || types.length === 0) {
    throw new ResonantError(
      "unsupported",
      `a tokenizer decoder of type ${JSON.stringify(unknown?.type ?? null)}`,
      {
        where: name,
        fix: "Use a byte-level tokenizer, or one with a space mark (Metaspace) and byte fallback",
      },
    );
  }
  const byteFallback = types.includes("ByteFallback");
  const marks = decoders.flatMap(spaceMark);
  const steps = decoders.map(decodingStep);
  return {
    decode: (tokens) => steps.reduce((parts, step) => step(parts), tokens).join(""),
    bytes(token) {
      const byte = byteFallback ? byteOf(token) : undefined;
      if (byte !== undefined) return Uint8Array.of(byte);
      return encodeUtf8(marks.reduce((text, [mark, content]) => replaced(text, mark, content), token));
    },
  };
}

function flatten(component: unknown, key: "decoders" | "pretokenizers"): Json[] {
  if (!isObject(component)) return [];
  const inner = component[key];
  return component.type === "Sequence" && Array.isArray(inner)
    ? inner.flatMap((part) => flatten(part, key))
    : [component];
}

function isByteLevel({ type }: Json): boolean {
  return type === "ByteLevel";
}

// Fuse joins texts, and Strip removes the first space of the whole text: neither changes what a token adds.
function isMarkDecoder(decoder: Json): boolean {
  if (decoder.type === "Replace") return spaceMark(decoder).length > 0;
  return ["Metaspace", "ByteFallback", "Fuse", "Strip"].includes(String(decoder.type));
}

function spaceMark({ type, pattern, content, replacement }: Json): [mark: string, content: string][] {
  if (type === "Metaspace") return [[typeof replacement === "string" ? replacement : "\u2581", " "]];
  const mark = type === "Replace" && isObject(pattern) ? pattern.String : undefined;
  return typeof mark === "string" && typeof content === "string" ? [[mark, content]] : [];
}

/** One decoder of Hugging Face's `tokenizers`: from texts to texts; a run of byte tokens becomes one text or more. */
function decodingStep(decoder: Json): (tokens: readonly string[]) => readonly string[] {
  switch (decoder.type) {
    case "ByteFallback":
      return joinBytes;
    case "Fuse":
      return (tokens) => [tokens.join("")];
    case "Strip":
      return (tokens) => tokens.map((token) => strip(token, decoder));
    case "Metaspace":
      return (tokens) => tokens.map((token, i) => unmark(token, decoder, i === 0));
    default:
      return (tokens) => tokens.map((token) => unmark(token, decoder, false));
  }
}

/** A run of byte tokens becomes its UTF-8 text; if any of it is invalid, one U+FFFD for each byte. */
function joinBytes(tokens: readonly string[]): string[] {
  const texts: string[] = [];
  let run: number[] = [];
  const endRun = () => {
    if (run.length > 0) texts.push(utf8OrMarks(run));
    run = [];
  };
  for (const token of tokens) {
    const byte = byteOf(token);
    if (byte !== undefined) {
      run.push(byte);
      continue;
    }
    endRun();
    texts.push(token);
  }
  endRun();
  return texts;
}

function utf8OrMarks(bytes: readonly number[]): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
  } catch {
    return "\ufffd".repeat(bytes.length);
  }
}

function byteOf(token: string): number | undefined {
  const digits = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 16);
}

function strip(text: string, { content, start, stop }: Json): string {
  const characters = Array.from(text);
  let from = 0;
  while (from < Number(start) && characters[from] === content) from++;
  let to = characters.length;
  while (characters.length - to < Number(stop) && to > from && characters[to - 1] === content) to--;
  return characters.slice(from, to).join("");
}

/** Marks become spaces. Metaspace leaves them out in the first token of a text if it puts one in front when encoding. */
function unmark(token: string, decoder: Json, first: boolean): string {
  const { prepend_scheme: scheme, add_prefix_space: prefix } = decoder;
  const prepended = scheme === undefined ? prefix !== false : scheme !== "never";
  return spaceMark(decoder).reduce(
    (text, [mark, content]) => replaced(text, mark, first && prepended ? "" : content),
    token,
  );
}

/** The longest text of a token. Decoders that put in more than they take out could make one of any length. */
const LONGEST_TOKEN = 2 ** 16;

/** @throws RangeError if the text could become too long */
function replaced(text: string, mark: string, content: string): string {
  if (text.length <= LONGEST_TOKEN && mark !== "" && content.length <= mark.length)
    return text.replaceAll(mark, content);
  if ((text.length + 1) * (content.length + 1) > LONGEST_TOKEN) {
    throw new RangeError(`a decoder makes a token of more than ${LONGEST_TOKEN} characters`);
  }
  return text.replaceAll(mark, content);
}

/** GPT-2's table: printable bytes stand for themselves, the others for characters from U+0100 on. */
const BYTE_OF = new Map<string, number>();
for (let byte = 0, next = 0x100; byte < 256; byte++) {
  const printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
  BYTE_OF.set(String.fromCharCode(printable ? byte : next++), byte);
}
const TOKEN_OF = [...BYTE_OF.keys()];

/** A byte as a token of a byte-level vocabulary writes it. */
export const byteToken = (byte: number): string => TOKEN_OF[byte]!;

function byteLevelBytes(token: string): Uint8Array {
  const bytes = Array.from(token, (character) => BYTE_OF.get(character));
  // A token with a character outside the table is not made of bytes: its text is literal.
  return bytes.every((byte) => byte !== undefined) ? Uint8Array.from(bytes) : encodeUtf8(token);
}

function encodeUtf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
