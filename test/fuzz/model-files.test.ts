import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseConfig } from "../../engine/config.ts";
import { productShapes } from "../../engine/families/index.ts";
import { loadChatTemplate } from "../../weights/chat-template.ts";
import { startThread } from "../../weights/node/threads.ts";
import { shardsOf } from "../../weights/sharded.ts";
import { inPlace } from "../../weights/testing/in-place.ts";
import { loadTokenizer } from "../../weights/tokenizer.ts";
import { fixturePath, readJson } from "../models.ts";
import { mutateJson, mutateText } from "./mutate.ts";
import { fuzz } from "./rounds.ts";

const shipped = (name: string): unknown =>
  JSON.parse(readFileSync(fixturePath(`../../weights/shakespeare/${name}`), "utf8"));

describe("config.json", () => {
  it("of a native model is read or refused", () =>
    fuzz(2000, async (random) => parseConfig(mutateJson(shipped("config.json"), random), "config.json")));

  it.each(["llama-yarn", "llama-biases", "neox-linear", "neox-odd-rotary"])(
    "of %s is read or refused",
    (name) => {
      const config = readJson(`base-models/${name}/config.json`);
      return fuzz(1000, async (random) => productShapes(mutateJson(config, random), "config.json"));
    },
  );
});

it("an index of shards is read or refused", () => {
  const index = { metadata: { total_size: 5 }, weight_map: { a: "a-1.safetensors", b: "b-2.safetensors" } };
  return fuzz(1000, async (random) => shardsOf(mutateJson(index, random), "index.json"));
});

describe("tokenizer.json", () => {
  const TEXTS = ["", "Hello, wörld! 🌊", "aaaa bbbb\n\n\t <s></s>"];
  const kinds = [
    "bytes/tokenizer.json",
    "llama/tokenizer.json",
    "llama/tokenizer-metaspace.json",
    "chat/tokenizer.json",
  ];

  it.each(kinds)("%s is read or refused, and then encodes and decodes", (name) => {
    const json = readJson(`tokenizers/${name}`);
    // Rounds that last, such as patterns that backtrack, need threads; these are run in seconds by `npm run fuzz`.
    const start = process.env.FUZZ_SECONDS === undefined ? inPlace : startThread;
    return fuzz(150, async (random) => {
      const tokenizer = await loadTokenizer(mutateJson(json, random), null, "tokenizer.json", start);
      try {
        for (const text of TEXTS) {
          const ids = await tokenizer.encode(text);
          expect(ids.every((id) => Number.isSafeInteger(id) && id >= 0)).toBe(true);
          tokenizer.decode(ids);
          for (const id of ids) tokenizer.bytes(id);
        }
      } finally {
        tokenizer.close();
      }
    });
  });
});

describe("a chat template", () => {
  const config = readJson("tokenizers/chat/tokenizer_config.json") as { readonly chat_template: string };
  const FRAGMENTS = [
    "{% for m in messages %}",
    "{% endfor %}",
    "{{ messages | tojson }}",
    "{{ range(99999) }}",
    "{{ 'a' * 9 }}",
    "{% set x = x ~ x %}",
    "{{ x.__proto__ }}",
    "{%- if",
    "-%}",
    "{{",
    " | indent(99999999)",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
  ];

  it("is read or refused, and then renders or refuses messages", () =>
    fuzz(12, async (random) => {
      let source = config.chat_template;
      for (let changes = 0; changes < 3; changes++) source = mutateText(source, random, FRAGMENTS);
      const template = await loadChatTemplate(
        { ...config, chat_template: source },
        null,
        "model",
        startThread,
      );
      try {
        await template!.render([{ role: "user", content: "hello" }]);
      } finally {
        template!.close();
      }
    }));
});
