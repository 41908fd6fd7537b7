import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { TextStream } from "../engine/text/text-stream.ts";
import { startThread } from "./node/threads.ts";
import { loadTokenizer, type TextTokenizer } from "./tokenizer.ts";

interface Decoded {
  readonly ids: number[];
  readonly decoded: string;
}

interface Expected {
  readonly texts: readonly (Decoded & { readonly text: string })[];
  readonly random: readonly Decoded[];
}

const readJson = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../test/fixtures/tokenizers/llama/${name}`, import.meta.url), "utf8"));
const expected = readJson("expected.json") as Record<string, Expected>;

/** The text token by token, as in generation. */
function streamed(tokenizer: TextTokenizer, ids: readonly number[]): string {
  const stream = new TextStream();
  return ids.map((id) => stream.push(tokenizer.bytes(id)).text).join("") + stream.flush().text;
}

describe.each(["tokenizer.json", "tokenizer-metaspace.json"])(
  "Llama's kind of tokenizer, %s",
  async (file) => {
    const tokenizer = await loadTokenizer(
      readJson(file),
      readJson("tokenizer_config.json"),
      file,
      startThread,
    );
    const { texts, random } = expected[file]!;

    it("has Hugging Face's ids for awkward texts", async () => {
      for (const { text, ids } of texts)
        expect(await tokenizer.encode(text), JSON.stringify(text)).toEqual(ids);
    });

    it("decodes them as Hugging Face does", () => {
      for (const { text, ids, decoded } of texts) {
        expect(tokenizer.decode(ids), JSON.stringify(text)).toBe(decoded);
      }
    });

    it("streams them as they are decoded, but for the first space", () => {
      // A decoder removes the first space of a whole text. A stream continues a prompt, so there it belongs.
      for (const { text, ids, decoded } of texts) {
        expect(streamed(tokenizer, ids).replace(/^ /, ""), JSON.stringify(text)).toBe(decoded);
      }
    });

    it("decodes random ids as Hugging Face does, where their bytes break characters too", () => {
      for (const { ids, decoded } of random) expect(tokenizer.decode(ids), String(ids)).toBe(decoded);
    });
  },
);
