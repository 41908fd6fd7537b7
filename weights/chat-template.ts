import { ResonantError } from "../common/errors.ts";
import { Apart, PastLimit } from "./apart/apart.ts";
import type { StartThread } from "./apart/thread.ts";
import type { ChatMessage, Rendering, TemplateSource } from "./chat-template-types.ts";
import { invalidFile, printable } from "./refuse.ts";
import { namedSpecials } from "./tokenizer.ts";

/** How a model writes a conversation as one text. */
export interface ChatTemplate {
  /** The file that it came from, for errors. */
  readonly name: string;
  /**
   * A conversation as a text that contains its special tokens: encode it with `special: false`.
   * @param answering whether the text ends where the assistant's next message begins. Default true.
   * @throws ResonantError `invalid_argument` naming `messages`, if the template refuses or cannot render them
   */
  render(messages: readonly ChatMessage[], answering?: boolean): Promise<string>;
  /** Ends its thread now; a later call starts another. */
  close(): void;
}

const LIMITS = { milliseconds: 2000, heapBytes: 128 * 2 ** 20 };
/** More time for each character of the messages. */
const MILLISECONDS_PER_CHARACTER = 0.01;

/** The longest known templates have some 20,000. */
const MOST_CHARS = 2 ** 17;

/**
 * Reads a model's chat template, and renders a first message with it as a check. It is in Jinja, and is rendered as
 * transformers' `apply_chat_template` does, in a thread of its own with limits of time and memory.
 * @param tokenizerConfig the parsed `tokenizer_config.json`, or null if there is none
 * @param jinja the text of `chat_template.jinja`, which has priority over a template in `tokenizer_config.json`
 * @param folder the folder of both files, for errors
 * @returns undefined if there is no template
 * @throws ResonantError `invalid_file` naming the file whose template cannot be parsed, fails or passes a limit
 */
export async function loadChatTemplate(
  tokenizerConfig: unknown,
  jinja: string | null | undefined,
  folder: string,
  start: StartThread,
): Promise<ChatTemplate | undefined> {
  const config = isObject(tokenizerConfig) ? tokenizerConfig : {};
  const name = `${folder}: ${typeof jinja === "string" ? "chat_template.jinja" : "tokenizer_config.json"}`;
  const source = jinja ?? defaultOf(config.chat_template, name);
  if (source === undefined) return undefined;
  if (source.length > MOST_CHARS) throw invalid(name, `it has more than ${MOST_CHARS} characters`);
  const { additional_special_tokens: additional } = config;
  const variables = {
    ...namedSpecials(config),
    ...(Array.isArray(additional) ? { additional_special_tokens: additional } : {}),
    tools: null,
    documents: null,
  };
  const template = new Apart<{ messages: readonly ChatMessage[]; answering: boolean }, Rendering>(
    start,
    "template",
    { source, variables } satisfies TemplateSource,
    LIMITS,
  );
  try {
    const first = await template.call({ messages: [{ role: "user", content: "a" }], answering: true });
    // The template may require a system message first, or something else.
    if ("why" in first && !first.refused) throw new Error(first.why);
  } catch (cause) {
    template.close();
    if (cause instanceof ResonantError) throw cause;
    throw invalid(name, reason(cause), cause);
  }
  return {
    name,
    close: () => template.close(),
    async render(messages, answering = true) {
      const length = messages.reduce((sum, { content }) => sum + content.length, 0);
      const rendering = await template
        .call({ messages, answering }, MILLISECONDS_PER_CHARACTER * length)
        .catch((cause: unknown): Rendering => {
          if (cause instanceof PastLimit) return { why: reason(cause), refused: false };
          throw cause;
        });
      if ("text" in rendering) return rendering.text;
      const what = rendering.refused ? "refuses" : "cannot render";
      throw new ResonantError(
        "invalid_argument",
        `the model's chat template ${what} them: ${rendering.why}`,
        { option: "messages" },
      );
    },
  };
}

/** A `chat_template`: a text, or a list of named texts with one called `default`. */
function defaultOf(template: unknown, name: string): string | undefined {
  if (template === undefined || template === null) return undefined;
  if (typeof template === "string") return template;
  const named = Array.isArray(template) ? template.filter(isObject) : [];
  const found = named.find((each) => each.name === "default")?.template;
  if (typeof found === "string") return found;
  throw invalid(name, "it is neither a text nor a list of named texts with a default");
}

function reason(error: unknown): string {
  if (error instanceof PastLimit) return `it ${error.message}`;
  return printable(error instanceof Error ? error.message : String(error), 500);
}

const invalid = (where: string, why: string, cause?: unknown): ResonantError =>
  invalidFile(
    where,
    `its chat template cannot be used: ${why}`,
    "Use the one that came with the model",
    cause,
  );

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
