import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { TextStream } from "../engine/text/text-stream.ts";
import { startThread } from "./node/threads.ts";
import { loadTokenizer, type TextTokenizer } from "./tokenizer.ts";

interface HashedIds {
  readonly count: number;
  readonly sha256: string;
}

interface Hashes {
  readonly source_sha256: string;
  readonly ids: HashedIds;
  readonly ids_by_line: HashedIds;
  readonly decoded_sha256: string;
}

const path = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url));
const { files } = JSON.parse(readFileSync(path("test/fixtures/tokenizers/wikitext-2.json"), "utf8")) as {
  readonly files: Readonly<Record<string, Hashes>>;
};

const TOKENIZER = path("../shared/data/tokenizers/gpt-neox-20b/tokenizer.json");
const data = (name: string): string => path(`../shared/data/wikitext-2/${name}`);
const absent = ![TOKENIZER, ...Object.keys(files).map(data)].every((file) => existsSync(file));

const sha256 = (value: string | Uint8Array): string => createHash("sha256").update(value).digest("hex");

function hashIds(ids: readonly number[]): HashedIds {
  const bytes = new DataView(new ArrayBuffer(4 * ids.length));
  ids.forEach((id, i) => {
    bytes.setUint32(4 * i, id, true);
  });
  return { count: ids.length, sha256: sha256(new Uint8Array(bytes.buffer)) };
}

/** The text of ids, token by token, as in generation. */
function streamed(tokenizer: TextTokenizer, ids: readonly number[]): string {
  const stream = new TextStream();
  let text = "";
  for (const id of ids) text += stream.push(tokenizer.bytes(id)).text;
  return text + stream.flush().text;
}

const needs = "../shared/data/tokenizers and ../shared/data/wikitext-2";

describe.skipIf(absent)(`GPT-NeoX 20B's tokenizer on WikiText-2 (needs ${needs})`, () => {
  let loaded: TextTokenizer | undefined;
  const tokenizer = async (): Promise<TextTokenizer> => {
    loaded ??= await loadTokenizer(
      JSON.parse(readFileSync(TOKENIZER, "utf8")),
      null,
      "gpt-neox-20b",
      startThread,
    );
    return loaded;
  };

  describe.each(Object.entries(files))("%s", (name, hashes) => {
    const source = (): string => readFileSync(data(name), "utf8");

    it("is the text that was hashed", () => {
      expect(sha256(readFileSync(data(name)))).toBe(hashes.source_sha256);
    });

    it("encoded whole has Hugging Face's ids, and they its text, decoded at once and as a stream", {
      timeout: 120_000,
    }, async () => {
      const ids = await (await tokenizer()).encode(source());
      expect(hashIds(ids)).toEqual(hashes.ids);
      expect(sha256((await tokenizer()).decode(ids))).toBe(hashes.decoded_sha256);
      expect(sha256(streamed(await tokenizer(), ids))).toBe(hashes.decoded_sha256);
    });

    it("encoded line by line has Hugging Face's ids", { timeout: 120_000 }, async () => {
      const lines = source().match(/[^\n]*\n|[^\n]+$/g) ?? [];
      const { encode } = await tokenizer();
      const ids: number[] = [];
      for (const line of lines) ids.push(...(await encode(line)));
      expect(hashIds(ids)).toEqual(hashes.ids_by_line);
    });
  });
});
