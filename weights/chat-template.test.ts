import { readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { type ChatTemplate, loadChatTemplate } from "./chat-template.ts";
import { openTemplate } from "./chat-template-run.ts";
import type { ChatMessage } from "./chat-template-types.ts";
import { startThread } from "./node/threads.ts";
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
async function rendered(chat_template: unknown, messages: readonly ChatMessage[] = SAID): Promise<string> {
  const template = await load({ ...config, chat_template });
  return template!.render(messages).finally(() => template!.close());
}

const load = (config: unknown, own: string | null = null) =>
  loadChatTemplate(config, own, "model", startThread);

const refusal = (code: string, where: string, message: RegExp) =>
  expect.objectContaining({ code, where, message: expect.stringMatching(message) });

/** The error of loading a template that cannot be used. */
const unusable = (why: RegExp) => refusal("invalid_file", "model: tokenizer_config.json", why);

describe("a chat template", async () => {
  const tokenizer = await loadTokenizer(readJson("tokenizer.json"), config, "tokenizer.json", startThread);

  let template: ChatTemplate;
  beforeAll(async () => {
    template = (await load(config))!;
  });
  afterAll(() => template.close());

  it.each(chats)("renders $text as transformers does, and it has its ids", async (chat) => {
    const text = await template.render(chat.messages, chat.add_generation_prompt);
    expect(text).toBe(chat.text);
    expect(await tokenizer.encode(text, { special: false })).toEqual(chat.ids);
    expect(await tokenizer.encode(text)).toEqual([1, ...chat.ids]);
  });

  it.each(failing)("refuses what transformers' refuses: $error", async ({ messages, error }) => {
    await expect(template.render(messages)).rejects.toThrow(
      refusal("invalid_argument", "messages", new RegExp(`refuses them: ${error}`)),
    );
  });

  it("is the default of several, and that of a file of its own before any", async () => {
    const several = [
      { name: "tool_use", template: "tools" },
      { name: "default", template: "{{ messages[0].content }}!" },
    ];
    expect(await rendered(several)).toBe("hello!");
    const own = await load({ ...config, chat_template: several }, "{{ bos_token }}own\n");
    expect(own?.name).toBe("model: chat_template.jinja");
    expect(await own?.render(SAID)).toBe("<s>own");
    own?.close();
  });

  it("is missing where there is none", async () => {
    for (const without of [null, {}, { chat_template: null }, []]) {
      expect(await load(without)).toBeUndefined();
    }
  });

  it("trims blocks, and knows the variables of transformers", async () => {
    const template = `  {% if tools is none and documents is none %}
{{ bos_token }}{{ eos_token }}{{ unk_token }}{{ pad_token is defined }}
  {% endif %}
{% for i in range(3) %}{{ i }}{% endfor %}{% for i in range(5, 1, -2) %}{{ i }}{% endfor %}`;
    expect(await rendered(template)).toBe("<s></s><unk>false\n01253");
  });

  it("says the date as Python does", () => {
    vi.useFakeTimers({ now: new Date(2026, 2, 5, 15, 4, 9) });
    const format = "%d %b %Y|%A %B|%a %y-%m|%H:%M:%S %I%p|%% %Q";
    const said = openTemplate({ source: `{{ strftime_now("${format}") }}`, variables: {} });
    expect(said({ messages: SAID, answering: true })).toEqual({
      text: "05 Mar 2026|Thursday March|Thu 26-03|15:04:09 03PM|% %Q",
    });
  });

  afterEach(() => {
    vi.useRealTimers();
  });
});

/** What a template says that passes one of its limits. */
const TOO_LONG =
  /cannot be used: (it takes more than 2\.0 s|it needs more than 128 MB|.*more work|a text of more|Invalid string length)/;

/** A template with a list in itself forty times, so that it has a trillion items. */
const nested = (end: string): string =>
  `{% set ns=namespace(x=[1]) %}{% for i in range(40) %}{% set ns.x=[ns.x,ns.x] %}{% endfor %}{{ ns.x${end} }}`;

describe("a chat template that cannot be used", () => {
  it.concurrent.each([
    ["does not parse", "{% if %}", /cannot be used/],
    ["does not end", "{% for m in messages %}", /cannot be used/],
    ["is no text", 5, /neither a text nor a list/],
    ["has no default", [{ name: "rag", template: "a" }], /neither a text nor a list/],
    ["is too long", "a".repeat(2 ** 17 + 1), /more than 131072 characters/],
    ["wants what is not there", "{{ messages[0].colour + 'ful' }}", /undefined/],
    ["calls what is no function", "{{ messages[0].content() }}", /not a function/],
    ["wants an endless range", "{% for i in range(10 ** 12) %}{% endfor %}", TOO_LONG],
    [
      "goes round in circles",
      "{% for a in range(9999) %}{% for b in range(9999) %}{{ a * b }}{% endfor %}{% endfor %}",
      TOO_LONG,
    ],
    [
      "calls itself",
      "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
      /call stack|not a function|more work|takes more/,
    ],
    [
      "doubles a text",
      "{% set ns = namespace(s='ab') %}{% for a in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
      /more work|string length|takes more/,
    ],
    [
      "doubles a list",
      "{% set ns = namespace(s=[1]) %}{% for a in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
      /more work|takes more/,
    ],
    [
      "indents by half of the longest text",
      "{{ 'a\\nb' | indent(500000000) }}",
      /more than 4194304 characters/,
    ],
    ["nests one list in itself, written as JSON", nested("|tojson"), TOO_LONG],
    ["nests one list in itself, as a text", nested("|string"), TOO_LONG],
    ["nests one list in itself, joined", nested("|join(',')"), TOO_LONG],
    [
      "loops over nothing",
      "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}",
      TOO_LONG,
    ],
    ["is white space alone", `${" ".repeat(131_000)}x`, TOO_LONG],
    ["is empty lines", "\n".repeat(131_000), TOO_LONG],
    ["indents beyond memory", "{{ 'a\\nb' | indent(10 ** 12) }}", /cannot be used/],
  ])("is refused by its file's name: one that %s", async (_, template, why) => {
    await expect(rendered(template)).rejects.toThrow(unusable(why));
  });

  it("may only refuse a first message, and then says so of the messages", async () => {
    const template = "{% if messages | length < 2 %}{{ raise_exception('alone') }}{% endif %}ok";
    expect(await rendered(template, [...SAID, ...SAID])).toBe("ok");
    await expect(rendered(template)).rejects.toThrow(refusal("invalid_argument", "messages", /them: alone/));
  });

  it("is the messages' fault where a first message passes", async () => {
    const template = "{{ {'user': 'U'}[messages[0].role] + messages[0].content }}";
    expect(await rendered(template)).toBe("Uhello");
    await expect(rendered(template, [{ role: "tutor", content: "a" }])).rejects.toThrow(
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
  ])("%s", async (expression) => {
    expect(await rendered(`{{ (${expression}) is undefined }}`)).toBe("true");
  });
});
