import { BPE, Tokenizer } from "@huggingface/tokenizers";
import { ResonantError } from "../common/errors.ts";
import { byteEncoder } from "./byte-encoder.ts";
import { concatBytes } from "./concat-bytes.ts";
import { tokenText } from "./token-text.ts";

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
  /** Tokens that are not text, such as the end of a text. */
  readonly specialIds: ReadonlySet<number>;
  readonly eosId: number | null;
  /**
   * The text's ids. Special tokens are added only if the tokenizer's post-processor does so. A lone surrogate counts as
   * U+FFFD. A BPE tokenizer that has neither bytes nor an unknown token leaves out what it cannot encode.
   * @throws ResonantError `invalid_argument` if the unknown token itself is missing
   */
  encode(text: string, options?: EncodeOptions): number[];
  /** The ids' text, without special tokens. */
  decode(ids: readonly number[]): string;
  /**
   * The bytes that a token adds to a UTF-8 text. The array is shared; do not change it. Empty for special tokens, and for
   * ids that exist only in the model's padded vocabulary.
   */
  bytes(id: number): Uint8Array;
  /** The token as the file has it, special or not; undefined for ids that exist only in the model's padded vocabulary. */
  token(id: number): string | undefined;
}

/**
 * Reads a tokenizer in Hugging Face's format.
 * @param tokenizerJson the parsed `tokenizer.json`: BPE or Unigram, byte-level or with a space mark and byte fallback
 * @param tokenizerConfig the parsed `tokenizer_config.json`, or null if there is none
 * @param name its name in errors
 * @throws ResonantError `invalid_file` for a malformed file, `unsupported` for another kind of tokenizer
 */
export function loadTokenizer(tokenizerJson: unknown, tokenizerConfig: unknown, name: string): TextTokenizer {
  const json = readTokenizerJson(tokenizerJson, name);
  const config = readConfig(tokenizerConfig, name);
  const toText = tokenText(json, name);
  let tokenizer: Tokenizer;
  try {
    tokenizer = new Tokenizer(json, config);
  } catch (error) {
    throw invalid(name, `cannot be used: ${error instanceof Error ? error.message : String(error)}`, error);
  }
  if (tokenizer.model instanceof BPE) rememberWords(tokenizer.model);

  const vocabulary = tokensById(json, name);
  const ids = new Map([...vocabulary].map(([id, token]) => [token, id]));
  const size = [...vocabulary.keys()].reduce((largest, id) => Math.max(largest, id), -1) + 1;
  const eos = contentOf(config.eos_token);
  const eosId = eos === undefined ? null : ids.get(eos);
  if (eosId === undefined) throw invalid(name, `eos_token ${JSON.stringify(eos)} is not in the vocabulary`);
  const specialIds = findSpecialIds(json, config, ids);
  const literal = new Set(json.added_tokens.map(({ id }) => id));
  const cache: Uint8Array[] = [];
  // The library's types promise numbers, but a missing token becomes null or undefined.
  const encodeAny = (text: string, special: boolean): unknown[] =>
    tokenizer.encode(text, { add_special_tokens: special }).ids;
  const encodeBytes = byteEncoder(json, config, (text) => encodeAny(text, true));

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
    specialIds,
    eosId,
    bytes,
    token: (id) => vocabulary.get(id),
    encode(text, { special = true } = {}) {
      const wellFormed = text.toWellFormed();
      const known = encodeBytes?.(wellFormed);
      if (known) return known;
      const encoded = encodeAny(wellFormed, special);
      if (encoded.every(isId)) return encoded;
      throw new ResonantError(
        "invalid_argument",
        "the text holds characters this tokenizer has no token for",
        {
          where: name,
        },
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
const MOST_WORDS = 32_768;
const LONGEST_WORD = 64;
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

/** Caches the tokens of words: the library's own cache is slower, and too small for a long text. */
function rememberWords(model: BPE): void {
  const merge = model.bpe.bind(model);
  const merged = new Map<string, string[]>();
  model.bpe = (word) => {
    const known = merged.get(word);
    if (known !== undefined) return known;
    const tokens = merge(word);
    if (merged.size === MOST_WORDS) merged.clear();
    if (word.length <= LONGEST_WORD) merged.set(word, tokens);
    return tokens;
  };
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
