import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type ChatMessage, loadChatTemplate } from "./chat-template.ts";
import { loadTokenizer } from "./tokenizer.ts";

interface Expected {
  readonly chats: readonly {
    readonly messages: ChatMessage[];
    readonly add_generation_prompt: boolean;
    readonly text: string;
    readonly ids: number[];
  }[];
  readonly failing: readonly { readonly messages: ChatMessage[]; readonly error: string }[];
}

const readJson = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../test/fixtures/tokenizers/chat/${name}`, import.meta.url), "utf8"));

const { chats, failing } = readJson("expected.json") as Expected;
const config = readJson("tokenizer_config.json") as Record<string, unknown>;
const SAID = [{ role: "user", content: "hello" }];

/** A conversation rendered with a template. */
const rendered = (chat_template: unknown, messages: readonly ChatMessage[] = SAID) =>
  loadChatTemplate({ ...config, chat_template }, null, "model")?.render(messages);

const refusal = (code: string, where: string, message: RegExp) =>
  expect.objectContaining({ code, where, message: expect.stringMatching(message) });

/** The error of loading a template that cannot be used. */
const unusable = (why: RegExp) => refusal("invalid_file", "model: tokenizer_config.json", why);

describe("a chat template", () => {
  const tokenizer = loadTokenizer(readJson("tokenizer.json"), config, "tokenizer.json");

  it.each(chats)("renders $text as transformers does, and it has its ids", (chat) => {
    const template = loadChatTemplate(config, null, "model")!;
    const text = template.render(chat.messages, chat.add_generation_prompt);
    expect(text).toBe(chat.text);
    expect(tokenizer.encode(text, { special: false })).toEqual(chat.ids);
    expect(tokenizer.encode(text)).toEqual([1, ...chat.ids]);
  });

  it.each(failing)("refuses what transformers' refuses: $error", ({ messages, error }) => {
    const template = loadChatTemplate(config, null, "model")!;
    expect(() => template.render(messages)).toThrow(
      refusal("invalid_argument", "messages", new RegExp(`refuses them: ${error}`)),
    );
  });

  it("is the default of several, and that of a file of its own before any", () => {
    const several = [
      { name: "tool_use", template: "tools" },
      { name: "default", template: "{{ messages[0].content }}!" },
    ];
    expect(rendered(several)).toBe("hello!");
    const own = loadChatTemplate({ ...config, chat_template: several }, "{{ bos_token }}own\n", "model");
    expect(own?.name).toBe("model: chat_template.jinja");
    expect(own?.render(SAID)).toBe("<s>own");
  });

  it("is missing where there is none", () => {
    for (const without of [null, {}, { chat_template: null }, []]) {
      expect(loadChatTemplate(without, null, "model")).toBeUndefined();
    }
  });

  it("trims blocks, and knows the variables of transformers", () => {
    const template = `  {% if tools is none and documents is none %}
{{ bos_token }}{{ eos_token }}{{ unk_token }}{{ pad_token is defined }}
  {% endif %}
{% for i in range(3) %}{{ i }}{% endfor %}{% for i in range(5, 1, -2) %}{{ i }}{% endfor %}`;
    expect(rendered(template)).toBe("<s></s><unk>false\n01253");
  });

  it("says the date as Python does", () => {
    vi.useFakeTimers({ now: new Date(2026, 2, 5, 15, 4, 9) });
    const format = "%d %b %Y|%A %B|%a %y-%m|%H:%M:%S %I%p|%% %Q";
    expect(rendered(`{{ strftime_now("${format}") }}`)).toBe(
      "05 Mar 2026|Thursday March|Thu 26-03|15:04:09 03PM|% %Q",
    );
  });

  afterEach(() => {
    vi.useRealTimers();
  });
});

describe("a chat template that cannot be used", () => {
  it.each([
    ["does not parse", "{% if %}", /cannot be used/],
    ["does not end", "{% for m in messages %}", /cannot be used/],
    ["is no text", 5, /neither a text nor a list/],
    ["has no default", [{ name: "rag", template: "a" }], /neither a text nor a list/],
    ["is too long", "a".repeat(2 ** 17 + 1), /more than 131072 characters/],
    ["wants what is not there", "{{ messages[0].colour + 'ful' }}", /undefined/],
    ["calls what is no function", "{{ messages[0].content() }}", /not a function/],
    ["wants an endless range", "{% for i in range(10 ** 12) %}{% endfor %}", /more work/],
    [
      "goes round in circles",
      "{% for a in range(9999) %}{% for b in range(9999) %}{{ a * b }}{% endfor %}{% endfor %}",
      /more work/,
    ],
    [
      "calls itself",
      "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
      /call stack|not a function|more work/,
    ],
    [
      "doubles a text",
      "{% set ns = namespace(s='ab') %}{% for a in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
      /more work|string length/,
    ],
    [
      "doubles a list",
      "{% set ns = namespace(s=[1]) %}{% for a in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
      /more work/,
    ],
    ["indents beyond memory", "{{ 'a\\nb' | indent(10 ** 12) }}", /cannot be used/],
  ])("is refused by its file's name: one that %s", (_, template, why) => {
    expect(() => rendered(template)).toThrow(unusable(why));
  });

  it("may only refuse a first message, and then says so of the messages", () => {
    const template = "{% if messages | length < 2 %}{{ raise_exception('alone') }}{% endif %}ok";
    expect(rendered(template, [...SAID, ...SAID])).toBe("ok");
    expect(() => rendered(template)).toThrow(refusal("invalid_argument", "messages", /them: alone/));
  });

  it("is the messages' fault where a first message passes", () => {
    const template = "{{ {'user': 'U'}[messages[0].role] + messages[0].content }}";
    expect(rendered(template)).toBe("Uhello");
    expect(() => rendered(template, [{ role: "tutor", content: "a" }])).toThrow(
      refusal("invalid_argument", "messages", /cannot render them/),
    );
  });
});

describe("a chat template reaches nothing outside", () => {
  it.each([
    "messages.constructor",
    "messages.__proto__",
    "messages[0].constructor.constructor",
    "''.constructor",
    "''.__proto__",
    "{}.__proto__",
    "range.constructor",
    "range.prototype",
    "raise_exception.caller",
    "namespace().constructor",
    "(1).constructor",
    "messages[0]['hasOwnProperty']",
    "globalThis",
    "process",
    "require",
    "this",
    "self",
  ])("%s", (expression) => {
    expect(rendered(`{{ (${expression}) is undefined }}`)).toBe("true");
  });
});
