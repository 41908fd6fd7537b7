import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Tokenizer } from "@huggingface/tokenizers";
import { describe, expect, it, vi } from "vitest";
import { Apart } from "./apart/apart.ts";
import { startThread } from "./node/threads.ts";
import { loadTokenizer, type TextTokenizer } from "./tokenizer.ts";

const root = join(import.meta.dirname, "..");
const readJson = (...path: string[]): unknown => JSON.parse(readFileSync(join(root, ...path), "utf8"));
const fixture = ["test", "fixtures", "tokenizers", "bytes"];
const bytesJson = readJson(...fixture, "tokenizer.json") as Record<string, unknown>;
const bytesConfig = readJson(...fixture, "tokenizer_config.json");

const neox = ["..", "shared", "data", "tokenizers", "gpt-neox-20b", "tokenizer.json"];
const hasNeox = existsSync(join(root, ...neox));

const TEXTS = [
  "Hello, world!\n",
  "Füße, naïve café — “quotes”…",
  "\u65e5\u672c\u8a9e \u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u05e2\u05d1\u05e8\u05d9\u05ea",
  "\u{1f3b5}\u{1f468}\u200d\u{1f469}\u200d\u{1f467} \u{1f1e8}\u{1f1ed} \u{10ffff}",
  "  leading,   many    spaces\t\ttabs\r\n\r\n",
  "don't won't we'll I'd . , ? ! 's",
  "\u0000\u0001\u007f\u0080\u00a0\u00ad\ufeff",
];

/** Whole numbers in [0, bound) from a fixed seed. */
function lcg(seed: number) {
  let state = seed;
  return (bound: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
}

const concat = (parts: Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));
const utf8 = (tokenizer: TextTokenizer, ids: number[]) =>
  new TextDecoder("utf-8", { ignoreBOM: true }).decode(concat(ids.map((id) => tokenizer.bytes(id))));

/** Random ids, with and without a break in a character, against the library's own decoder. */
function agreesWithLibrary(tokenizer: TextTokenizer, library: Tokenizer, rounds: number) {
  const random = lcg(5);
  let valid = 0;
  for (let round = 0; round < rounds; round++) {
    const ids = Array.from({ length: 1 + random(12) }, () => random(tokenizer.size));
    const bytes = concat(ids.map((id) => tokenizer.bytes(id)));
    let text: string;
    try {
      text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      continue;
    }
    valid++;
    const theirs = library.decode(ids, { skip_special_tokens: true, clean_up_tokenization_spaces: false });
    if (text !== theirs || tokenizer.decode(ids) !== theirs)
      expect.fail(`${ids}: ${JSON.stringify([text, theirs])}`);
  }
  expect(valid).toBeGreaterThan(rounds / 20);
}

describe("the byte-level tokenizer of the default model", async () => {
  const tokenizer = await loadTokenizer(bytesJson, bytesConfig, "bytes", startThread);

  it("has one token per byte and four special ones", () => {
    expect(tokenizer.size).toBe(260);
    expect(tokenizer.eosId).toBe(256);
    expect([...tokenizer.specialIds]).toEqual([256, 257, 258, 259]);
    for (let byte = 0; byte < 256; byte++) expect([...tokenizer.bytes(byte)]).toEqual([byte]);
    for (const id of tokenizer.specialIds) expect(tokenizer.bytes(id)).toHaveLength(0);
  });

  it("encodes a text to its UTF-8 bytes and back", async () => {
    for (const text of TEXTS) {
      expect(await tokenizer.encode(text)).toEqual([...new TextEncoder().encode(text)]);
      expect(tokenizer.decode(await tokenizer.encode(text))).toBe(text);
    }
  });

  it("round-trips every byte value that UTF-8 can hold", async () => {
    const seen = new Set<number>();
    const low = Array.from({ length: 0x800 }, (_, i) => i);
    const high = Array.from({ length: 0x110 }, (_, i) => (i << 12) | 0x800).filter((i) => i >> 11 !== 0x1b);
    for (const text of [...low, ...high, 0xd000].map((codePoint) => String.fromCodePoint(codePoint))) {
      const ids = await tokenizer.encode(text);
      for (const id of ids) seen.add(id);
      expect(tokenizer.decode(ids)).toBe(text);
    }
    // All but C0, C1 and F5 to FF, which no text holds.
    expect(seen.size).toBe(256 - 13);
  });

  it("gives the library's text for random ids", () => {
    agreesWithLibrary(tokenizer, new Tokenizer(bytesJson, bytesConfig as object), 5000);
  });

  it("takes half a surrogate pair as U+FFFD", async () => {
    for (const text of ["\ud83c", "a\udfb5b", "\udfb5\ud83c", "x\ud83c<|endoftext|>\udfb5"]) {
      const repaired = text.replace(/\p{Surrogate}/gu, "\ufffd");
      expect(await tokenizer.encode(text)).toEqual(await tokenizer.encode(repaired));
    }
  });

  it("reads special tokens in a text, and leaves them out of what it decodes", async () => {
    expect(await tokenizer.encode("a<|endoftext|>b")).toEqual([97, 256, 98]);
    expect(tokenizer.decode([97, 256, 98])).toBe("ab");
    expect(tokenizer.decode([0xc3, 256, 0xa9])).toBe("é");
    expect([await tokenizer.encode(""), tokenizer.decode([])]).toEqual([[], ""]);
  });

  it("gives nothing for an id that only a padded vocabulary has, and refuses what is no id", () => {
    expect(tokenizer.bytes(260)).toHaveLength(0);
    expect(tokenizer.decode([97, 9999])).toBe("a");
    for (const id of [-1, 0.5, Number.NaN]) {
      expect(() => tokenizer.bytes(id)).toThrowError(expect.objectContaining({ code: "invalid_argument" }));
    }
  });

  it("encodes a long text in one go, without the library's words and merges", async () => {
    const text = "To be, or not to be: that is the question. ".repeat(2400);
    const thread = vi.spyOn(Apart.prototype, "call");
    const bytes = vi.spyOn(TextEncoder.prototype, "encode");
    try {
      expect(await tokenizer.encode(text)).toHaveLength(text.length);
      expect(thread).not.toHaveBeenCalled();
      expect(bytes).toHaveBeenCalledOnce();
      // One added token in it, and the library has the whole text to do.
      expect(await tokenizer.encode(`${text}<|endoftext|>`)).toHaveLength(text.length + 1);
      expect(thread).toHaveBeenCalledOnce();
    } finally {
      thread.mockRestore();
      bytes.mockRestore();
    }
  });
});

describe(`gpt-neox-20b${hasNeox ? "" : " (skipped: its tokenizer.json is not beside this checkout)"}`, async () => {
  const load = () => loadTokenizer(readJson(...neox), null, "gpt-neox-20b", startThread);

  it.skipIf(!hasNeox)("round-trips texts, and its bytes are their UTF-8", async () => {
    const tokenizer = await load();
    for (const text of TEXTS) {
      const normal = text.normalize("NFC");
      const ids = await tokenizer.encode(text);
      expect(tokenizer.decode(ids)).toBe(normal);
      expect(utf8(tokenizer, ids)).toBe(normal);
    }
    expect(await tokenizer.encode("Hello world")).toEqual([12092, 1533]);
    expect(tokenizer.eosId).toBeNull();
    expect(tokenizer.specialIds.has(0)).toBe(true);
    expect(tokenizer.decode(await tokenizer.encode("a          b"))).toBe("a          b");
  });

  it.skipIf(!hasNeox)("gives the library's text for random ids", async () => {
    agreesWithLibrary(await load(), new Tokenizer(readJson(...neox) as object, {}), 2000);
  });
});

describe("a tokenizer with a space mark and byte fallback", async () => {
  const pieces = ["<unk>", "<s>", "</s>", "▁", "a", "b", "▁a", "ab"];
  const vocab = Object.fromEntries(pieces.map((piece, id) => [piece, id]));
  for (let byte = 0; byte < 256; byte++) {
    vocab[`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`] = pieces.length + byte;
  }
  const special = (id: number) => ({ id, content: pieces[id], special: true });
  const json = {
    added_tokens: [special(0), special(1), special(2)],
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: "▁" },
        { type: "Replace", pattern: { String: " " }, content: "▁" },
      ],
    },
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      pair: [],
      special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
    },
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
    model: {
      type: "BPE",
      vocab,
      merges: ["▁ a", "a b"],
      byte_fallback: true,
      fuse_unk: true,
      unk_token: "<unk>",
    },
  };
  const tokenizer = await loadTokenizer(json, { eos_token: { content: "</s>" } }, "fallback", startThread);

  it("adds the special tokens its post-processor says, and decodes without them", async () => {
    expect((await tokenizer.encode("a b"))[0]).toBe(1);
    expect(tokenizer.decode(await tokenizer.encode("a b ab é🎵"))).toBe("a b ab é🎵");
    expect(tokenizer.eosId).toBe(2);
    expect([...tokenizer.specialIds].sort()).toEqual([0, 1, 2]);
  });

  it("gives bytes for byte tokens and spaces for marks, where decode drops the text's first", async () => {
    expect([...tokenizer.bytes(pieces.length + 0xe9)]).toEqual([0xe9]);
    expect(tokenizer.bytes(6)).toEqual(new TextEncoder().encode(" a"));
    expect(tokenizer.bytes(1)).toHaveLength(0);
    expect(utf8(tokenizer, await tokenizer.encode("a é"))).toBe(" a é");
  });
});

describe("a tokenizer that merges", async () => {
  it("has the library's ids, also for more words than it remembers and for long ones", async () => {
    const merges = ["a b", "c d", "ab cd", "Ġ ab"];
    const base = bytesJson.model as { readonly vocab: Readonly<Record<string, number>> };
    const merged = Object.fromEntries(merges.map((pair, i) => [pair.replace(" ", ""), 260 + i]));
    const json = { ...bytesJson, model: { ...base, vocab: { ...base.vocab, ...merged }, merges } };
    const tokenizer = await loadTokenizer(json, null, "merging", startThread);
    const library = new Tokenizer(json, {});
    const random = lcg(3);
    const word = (length: number) => Array.from({ length }, () => "abcd"[random(4)]).join("");
    const words = Array.from({ length: 40_000 }, (_, i) => word(i % 1000 === 0 ? 200 : 9 + random(3)));
    expect(new Set(words).size).toBeGreaterThan(33_000);
    const text = [...words, ...words.slice(0, 100)].join(" ");
    expect(await tokenizer.encode(text)).toEqual(library.encode(text).ids);
  });
});

describe("an added token of a single word", () => {
  const tokenIn = async (content: string, over: object, text: string): Promise<string> => {
    const added = [...(bytesJson.added_tokens as object[]), { id: 300, content, special: false, ...over }];
    const tokenizer = await loadTokenizer({ ...bytesJson, added_tokens: added }, null, "words", startThread);
    const ids = await tokenizer.encode(text);
    tokenizer.close();
    return ids.map((id) => (id < 256 ? String.fromCharCode(id) : `[${id}]`)).join("");
  };

  it("is one only where no letter, digit or underscore stands beside it", async () => {
    const text = "cat, cats cat concat _cat cat2 (cat) cat-cat\ncat";
    expect(await tokenIn("cat", { single_word: true }, text)).toBe(
      "[300], cats [300] concat _cat cat2 ([300]) [300]-[300]\n[300]",
    );
    expect(await tokenIn("cat", { single_word: false }, text)).toBe(text.replaceAll("cat", "[300]"));
    expect(await tokenIn("cat", { single_word: true, normalized: true }, "cats cat")).toBe("cats [300]");
  });
});

describe("a hostile tokenizer", () => {
  const level = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  const backtracks = { Regex: "(a+)+$" };
  const split = { type: "Split", pattern: backtracks, behavior: "Isolated", invert: false };
  const grows = { type: "Replace", pattern: { Regex: "." }, content: "x".repeat(16) };

  it.concurrent.each([
    ["splits without end", { pre_tokenizer: { type: "Sequence", pretokenizers: [split, level] } }],
    ["replaces without end", { normalizer: { type: "Replace", pattern: backtracks, content: "b" } }],
  ])("that %s is ended, and named; the next text is encoded again", async (_, change) => {
    const tokenizer = await loadTokenizer({ ...bytesJson, ...change }, null, "hostile", startThread);
    await expect(tokenizer.encode(`${"a".repeat(40)}!`)).rejects.toThrow(
      /^hostile: the text cannot be encoded: it takes more than \d+(\.\d+)? s/,
    );
    expect(await tokenizer.encode("b!")).toEqual([98, 33]);
    tokenizer.close();
  });

  it("that makes a text grow without end is refused when it is loaded", async () => {
    const json = { ...bytesJson, normalizer: { type: "Sequence", normalizers: Array(8).fill(grows) } };
    await expect(loadTokenizer(json, null, "hostile", startThread)).rejects.toThrow(
      /^hostile: cannot be used: (a text of more than 4194304 characters|it (takes|needs) more)/,
    );
  });

  it("that is nested beyond the stack is refused in its own name", async () => {
    let decoder: object = level;
    for (let i = 0; i < 20_000; i++) decoder = { type: "Sequence", decoders: [decoder] };
    await expect(loadTokenizer({ ...bytesJson, decoder }, null, "hostile", startThread)).rejects.toThrow(
      /^hostile: it asks for more than can be read/,
    );
    let normalizer: object = { type: "NFC" };
    for (let i = 0; i < 20_000; i++) normalizer = { type: "Sequence", normalizers: [normalizer] };
    await expect(loadTokenizer({ ...bytesJson, normalizer }, null, "hostile", startThread)).rejects.toThrow(
      /^hostile: /,
    );
  });
});

describe("a malformed tokenizer", async () => {
  const bpe = (over: object) => ({ ...bytesJson, model: { ...(bytesJson.model as object), ...over } });
  it.each<[string, unknown, unknown, string]>([
    ["no object", 7, null, "invalid_file"],
    ["no model", {}, null, "invalid_file"],
    ["another kind of model", bpe({ type: "WordPiece" }), null, "unsupported"],
    ["a vocabulary that is a list", bpe({ vocab: [] }), null, "invalid_file"],
    ["a vocabulary with text for ids", bpe({ vocab: { a: "0" } }), null, "invalid_file"],
    ["a vocabulary with an id of a thousand million", bpe({ vocab: { a: 1e9 } }), null, "invalid_file"],
    ["two tokens with one id", bpe({ vocab: { a: 1, b: 1 } }), null, "invalid_file"],
    ["no merges", bpe({ merges: null }), null, "invalid_file"],
    ["merges of one part", bpe({ merges: [["a"]] }), null, "invalid_file"],
    ["an added token without text", { ...bytesJson, added_tokens: [{ id: 1 }] }, null, "invalid_file"],
    ["a normalizer nobody knows", { ...bytesJson, normalizer: { type: "Odd" } }, null, "invalid_file"],
    [
      "a decoder that needs neighbours",
      { ...bytesJson, decoder: { type: "WordPiece" } },
      null,
      "unsupported",
    ],
    ["no decoder at all", { ...bytesJson, decoder: null, pre_tokenizer: null }, null, "unsupported"],
    ["a configuration that is a list", bytesJson, [], "invalid_file"],
    ["an end token outside the vocabulary", bytesJson, { eos_token: "<nowhere>" }, "invalid_file"],
  ])("is refused for %s", async (_, json, config, code) => {
    await expect(loadTokenizer(json, config, "it", startThread)).rejects.toThrowError(
      expect.objectContaining({ code, where: "it", fix: expect.any(String) }),
    );
  });

  it("reads a byte-level file of before the type was written", async () => {
    const tokenizer = await loadTokenizer(
      { ...bpe({ type: undefined }), decoder: null },
      undefined,
      "old",
      startThread,
    );
    expect(tokenizer.decode(await tokenizer.encode("é"))).toBe("é");
  });

  it("refuses text it has neither a token nor an unknown token for", async () => {
    const tokenizer = await loadTokenizer(
      { ...bpe({ type: "Unigram", vocab: [["a", 0]], unk_id: null, merges: undefined }), added_tokens: [] },
      null,
      "unigram",
      startThread,
    );
    await expect(tokenizer.encode("b")).rejects.toThrowError(expect.objectContaining({ where: "unigram" }));
  });
});
