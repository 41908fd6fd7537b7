import { ResonantError } from "../common/errors.ts";
import { Apart, PastLimit } from "./apart/apart.ts";
import type { StartThread } from "./apart/thread.ts";
import { byteEncoder } from "./byte-encoder.ts";
import { concatBytes } from "./concat-bytes.ts";
import { withinRange } from "./refuse.ts";
import { tokenText } from "./token-text.ts";
import type { EncodeCall, TokenizerSource } from "./tokenizer-run.ts";

export interface EncodeOptions {
  /**
   * Whether the post-processor adds its special tokens. Default true; use false for a text that already contains them, such
   * as a chat's.
   */
  readonly special?: boolean;
}

/** Text to token ids and back. */
export interface TextTokenizer {
  /** The model or file that it came from, for errors. */
  readonly name: string;
  /** One more than the largest id. */
  readonly size: number;
  /** Whether it has a token for each byte and nothing else, so that encoding is a table. */
  readonly bytewise: boolean;
  /** Tokens that are not text, such as the end of a text. */
  readonly specialIds: ReadonlySet<number>;
  readonly eosId: number | null;
  /**
   * The text's ids. Special tokens are added only if the tokenizer's post-processor does so. A lone surrogate counts as
   * U+FFFD. A BPE tokenizer that has neither bytes nor an unknown token leaves out what it cannot encode.
   * @throws ResonantError `invalid_argument` if the unknown token itself is missing, or the text takes the tokenizer too long
   */
  encode(text: string, options?: EncodeOptions): Promise<number[]>;
  /** The ids' text, without special tokens. */
  decode(ids: readonly number[]): string;
  /**
   * The bytes that a token adds to a UTF-8 text. The array is shared; do not change it. Empty for special tokens, and for
   * ids that exist only in the model's padded vocabulary.
   */
  bytes(id: number): Uint8Array;
  /** The token as the file has it, special or not; undefined for ids that exist only in the model's padded vocabulary. */
  token(id: number): string | undefined;
  /** Ends its thread now, if it has one; a later call starts another. */
  close(): void;
}

/**
 * Reads a tokenizer in Hugging Face's format. One with a token for each byte is a table; any other has regular expressions and
 * normalizers, and runs in a thread of its own with limits of time and memory.
 * @param tokenizerJson the parsed `tokenizer.json`: BPE or Unigram, byte-level or with a space mark and byte fallback
 * @param tokenizerConfig the parsed `tokenizer_config.json`, or null if there is none
 * @param name its name in errors
 * @throws ResonantError `invalid_file` for a malformed file, `unsupported` for another kind of tokenizer
 */
export function loadTokenizer(
  tokenizerJson: unknown,
  tokenizerConfig: unknown,
  name: string,
  start: StartThread,
): Promise<TextTokenizer> {
  return withinRange(name, () => load(tokenizerJson, tokenizerConfig, name, start));
}

/** Milliseconds and bytes that a tokenizer may take, and more for each character of a text or token of its vocabulary. */
const LIMITS = { milliseconds: 2000, heapBytes: 192 * 2 ** 20 };
const MILLISECONDS_PER_CHARACTER = 0.02;
const MILLISECONDS_PER_TOKEN = 0.02;
const BYTES_PER_TOKEN = 512;

async function load(
  tokenizerJson: unknown,
  tokenizerConfig: unknown,
  name: string,
  start: StartThread,
): Promise<TextTokenizer> {
  const json = readTokenizerJson(tokenizerJson, name);
  const config = readConfig(tokenizerConfig, name);
  const toText = tokenText(json, name);

  const vocabulary = tokensById(json, name);
  const ids = new Map([...vocabulary].map(([id, token]) => [token, id]));
  const size = [...vocabulary.keys()].reduce((largest, id) => Math.max(largest, id), -1) + 1;
  const eos = contentOf(config.eos_token);
  const eosId = eos === undefined ? null : ids.get(eos);
  if (eosId === undefined) throw invalid(name, `eos_token ${JSON.stringify(eos)} is not in the vocabulary`);
  const specialIds = findSpecialIds(json, config, ids);
  const literal = new Set(json.added_tokens.map(({ id }) => id));
  const cache: Uint8Array[] = [];
  const encodeBytes = byteEncoder(json, config);
  const entries = vocabulary.size + (Array.isArray(json.model.merges) ? json.model.merges.length : 0);
  const apart = new Apart<EncodeCall, Uint32Array | null>(
    start,
    "tokenizer",
    { json: json, config } satisfies TokenizerSource,
    {
      milliseconds: LIMITS.milliseconds + MILLISECONDS_PER_TOKEN * entries,
      heapBytes: LIMITS.heapBytes + BYTES_PER_TOKEN * entries,
    },
  );
  if (!encodeBytes) {
    // Opened now, so that a tokenizer that cannot be used is refused when its model is loaded.
    await apart.call({ text: "a", special: true }).catch((error: unknown) => {
      apart.close();
      if (error instanceof ResonantError) throw error;
      const why = error instanceof Error ? error.message : String(error);
      throw invalid(name, `cannot be used: ${error instanceof PastLimit ? `it ${why}` : why}`, error);
    });
  }

  const bytes = (id: number): Uint8Array => {
    const known = cache[id];
    if (known !== undefined) return known;
    if (!Number.isSafeInteger(id) || id < 0) {
      throw new ResonantError("invalid_argument", `${id} is not a token id`, { where: name });
    }
    const token = specialIds.has(id) ? undefined : vocabulary.get(id);
    const found = token === undefined ? new Uint8Array() : toText.bytes(token, literal.has(id));
    cache[id] = found;
    return found;
  };

  return {
    name,
    size,
    bytewise: encodeBytes !== undefined,
    specialIds,
    eosId,
    bytes,
    token: (id) => vocabulary.get(id),
    close: () => apart.close(),
    async encode(text, { special = true } = {}) {
      const wellFormed = text.toWellFormed();
      const known = encodeBytes?.(wellFormed);
      if (known) return known;
      const ids = await apart
        .call({ text: wellFormed, special }, MILLISECONDS_PER_CHARACTER * text.length)
        .catch((error: unknown) => {
          if (error instanceof ResonantError) throw error;
          const why = error instanceof PastLimit ? `it ${error.message}` : (error as Error).message;
          throw new ResonantError("invalid_argument", `the text cannot be encoded: ${why}`, {
            where: name,
            cause: error,
          });
        });
      if (ids) return Array.from(ids);
      throw new ResonantError(
        "invalid_argument",
        "the text holds characters this tokenizer has no token for",
        { where: name },
      );
    },
    decode(idList) {
      if (!toText.decode) return decodeUtf8(concatBytes(idList.map(bytes)));
      return toText.decode(idList.flatMap((id) => (specialIds.has(id) ? [] : (vocabulary.get(id) ?? []))));
    },
  };
}

const MODELS = ["BPE", "Unigram"];
// Far above any vocabulary; a larger id is a damaged one, not a token.
const MAX_ID = 1 << 24;
const NAMED_SPECIALS = [
  "bos_token",
  "eos_token",
  "pad_token",
  "unk_token",
  "sep_token",
  "cls_token",
  "mask_token",
];

type Json = Record<string, unknown>;
type AddedToken = { id: number; content: string; special: boolean };
type TokenizerJson = Json & { model: Json & { vocab: Vocabulary }; added_tokens: AddedToken[] };
type Vocabulary = Json | unknown[];

function readTokenizerJson(value: unknown, name: string): TokenizerJson {
  if (!isObject(value) || !isObject(value.model)) throw invalid(name, "tokenizer.json has no model");
  const { model } = value;
  const { vocab, merges } = model;
  // Older files leave out the type; their fields show it.
  const type = model.type ?? (Array.isArray(merges) ? "BPE" : Array.isArray(vocab) ? "Unigram" : undefined);
  if (typeof type !== "string" || !MODELS.includes(type)) {
    throw new ResonantError("unsupported", `a tokenizer model of type ${JSON.stringify(type)}`, {
      where: name,
      fix: `Use one of type ${MODELS.join(" or ")}`,
    });
  }
  if (type === "BPE" ? !isObject(vocab) : !Array.isArray(vocab))
    throw invalid(name, "model.vocab is malformed");
  const isMerge = (merge: unknown) =>
    typeof merge === "string" ||
    (Array.isArray(merge) && merge.length === 2 && merge.every((x) => typeof x === "string"));
  if (type === "BPE" && !(Array.isArray(merges) && merges.every(isMerge))) {
    throw invalid(name, "model.merges is malformed");
  }
  const added = value.added_tokens ?? [];
  if (!Array.isArray(added) || !added.every(isAddedToken)) throw invalid(name, "added_tokens is malformed");
  const optional = { normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null };
  return {
    ...optional,
    ...value,
    model: { ...model, type, vocab: vocab as Vocabulary },
    added_tokens: added,
  };
}

function isAddedToken(value: unknown): value is AddedToken {
  return isObject(value) && isId(value.id) && typeof value.content === "string" && value.content !== "";
}

function readConfig(value: unknown, name: string): Json {
  if (value === null || value === undefined) return {};
  if (isObject(value)) return value;
  throw invalid(name, "tokenizer_config.json is not an object");
}

function tokensById(json: TokenizerJson, name: string): Map<number, string> {
  const { vocab } = json.model;
  const pairs: [unknown, unknown][] = Array.isArray(vocab)
    ? vocab.map((entry, id) => [Array.isArray(entry) ? entry[0] : entry, id])
    : Object.entries(vocab);
  const byId = new Map<number, string>();
  for (const [token, id] of pairs) {
    if (typeof token !== "string" || !isId(id))
      throw invalid(name, `model.vocab holds ${JSON.stringify([token, id])}`);
    if (byId.has(id)) throw invalid(name, `two tokens have the id ${id}`);
    byId.set(id, token);
  }
  for (const { id, content } of json.added_tokens) byId.set(id, content);
  if (byId.size === 0) throw invalid(name, "the vocabulary is empty");
  return byId;
}

function findSpecialIds(json: TokenizerJson, config: Json, ids: ReadonlyMap<string, number>): Set<number> {
  const special = new Set(json.added_tokens.filter((token) => token.special === true).map(({ id }) => id));
  const additional = Array.isArray(config.additional_special_tokens) ? config.additional_special_tokens : [];
  for (const token of [...Object.values(namedSpecials(config)), ...additional.map(contentOf)]) {
    const id = ids.get(token ?? "");
    if (id !== undefined) special.add(id);
  }
  return special;
}

/** The special tokens that a tokenizer_config.json names: `bos_token`, `eos_token` and so on, if it has them. */
export function namedSpecials(config: Readonly<Record<string, unknown>>): Record<string, string> {
  const named = NAMED_SPECIALS.map((name) => [name, contentOf(config[name])] as const);
  return Object.fromEntries(named.filter((pair): pair is [string, string] => pair[1] !== undefined));
}

/** A special token in tokenizer_config.json: its text, or an object that holds it. */
function contentOf(value: unknown): string | undefined {
  const content = isObject(value) ? value.content : value;
  return typeof content === "string" ? content : undefined;
}

function decodeUtf8(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isId(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < MAX_ID;
}

function invalid(where: string, message: string, cause?: unknown): ResonantError {
  return new ResonantError("invalid_file", message, {
    where,
    fix: "Use the tokenizer.json and tokenizer_config.json that came with the model",
    cause,
  });
}
