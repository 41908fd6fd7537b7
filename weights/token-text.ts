import { ResonantError } from "../engine/errors.ts";

/** How a token's own text becomes bytes; context-free if a text's bytes are exactly its tokens' bytes. */
export interface TokenText {
  contextFree: boolean;
  /** `literal` for an added token, whose text is as it is written. */
  bytes(token: string, literal: boolean): Uint8Array;
}

type Json = Record<string, unknown>;

/**
 * Reads how a parsed `tokenizer.json` turns tokens into text.
 * @throws ResonantError `unsupported` where a token's bytes would depend on its neighbours.
 */
export function tokenText(json: Json, name: string): TokenText {
  const decoders = flatten(json.decoder, "decoders");
  const types = decoders.map(({ type }) => type);
  const byteLevel = types.includes("ByteLevel");
  if (byteLevel || (types.length === 0 && flatten(json.pre_tokenizer, "pretokenizers").some(isByteLevel))) {
    return {
      contextFree: true,
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
  return {
    contextFree: false,
    bytes(token) {
      const byte = byteFallback ? /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1] : undefined;
      if (byte !== undefined) return Uint8Array.of(Number.parseInt(byte, 16));
      return encodeUtf8(marks.reduce((text, [mark, content]) => text.replaceAll(mark, content), token));
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

// Fuse joins, and Strip trims the whole text's first space: neither changes what one token adds.
function isMarkDecoder(decoder: Json): boolean {
  if (decoder.type === "Replace") return spaceMark(decoder).length > 0;
  return ["Metaspace", "ByteFallback", "Fuse", "Strip"].includes(String(decoder.type));
}

function spaceMark({ type, pattern, content, replacement }: Json): [mark: string, content: string][] {
  if (type === "Metaspace") return [[typeof replacement === "string" ? replacement : "\u2581", " "]];
  const mark = type === "Replace" && isObject(pattern) ? pattern.String : undefined;
  return typeof mark === "string" && typeof content === "string" ? [[mark, content]] : [];
}

/** GPT-2's table: printable bytes stand for themselves, the others for the characters from U+0100 on. */
const BYTE_OF = new Map<string, number>();
for (let byte = 0, next = 0x100; byte < 256; byte++) {
  const printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
  BYTE_OF.set(String.fromCharCode(printable ? byte : next++), byte);
}

function byteLevelBytes(token: string): Uint8Array {
  const bytes = Array.from(token, (character) => BYTE_OF.get(character));
  // A token with a character outside the table is not in the byte alphabet at all: its text is literal.
  return bytes.every((byte) => byte !== undefined) ? Uint8Array.from(bytes) : encodeUtf8(token);
}

function encodeUtf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
