import { parse, tokenize } from "@huggingface/jinja";
import { ResonantError } from "../common/errors.ts";
import { Refusal, runTemplate } from "./chat-template-run.ts";
import { invalidFile, printable } from "./refuse.ts";
import { namedSpecials } from "./tokenizer.ts";

/** One message of a conversation. */
export interface ChatMessage {
  readonly role: string;
  readonly content: string;
}

/** How a model writes a conversation as one text. */
export interface ChatTemplate {
  /** The file that it came from, for errors. */
  readonly name: string;
  /**
   * A conversation as a text that contains its special tokens: encode it with `special: false`.
   * @param answering whether the text ends where the assistant's next message begins. Default true.
   * @throws ResonantError `invalid_argument` naming `messages`, if the template refuses or cannot render them
   */
  render(messages: readonly ChatMessage[], answering?: boolean): string;
}

/** The longest known templates have some 20,000. */
const MOST_CHARS = 2 ** 17;

/**
 * Reads a model's chat template, and renders a first message with it as a check. It is in Jinja, and is rendered as
 * transformers' `apply_chat_template` does.
 * @param tokenizerConfig the parsed `tokenizer_config.json`, or null if there is none
 * @param jinja the text of `chat_template.jinja`, which has priority over a template in `tokenizer_config.json`
 * @param folder the folder of both files, for errors
 * @returns undefined if there is no template
 * @throws ResonantError `invalid_file` naming the file whose template cannot be parsed, fails or loops without end
 */
export function loadChatTemplate(
  tokenizerConfig: unknown,
  jinja: string | null | undefined,
  folder: string,
): ChatTemplate | undefined {
  const config = isObject(tokenizerConfig) ? tokenizerConfig : {};
  const name = `${folder}: ${typeof jinja === "string" ? "chat_template.jinja" : "tokenizer_config.json"}`;
  const source = jinja ?? defaultOf(config.chat_template, name);
  if (source === undefined) return undefined;
  if (source.length > MOST_CHARS) throw invalid(name, `it has more than ${MOST_CHARS} characters`);
  let program: ReturnType<typeof parse>;
  try {
    program = parse(tokenize(source, { trim_blocks: true, lstrip_blocks: true }));
  } catch (cause) {
    throw invalid(name, reason(cause), cause);
  }
  const { additional_special_tokens: additional } = config;
  const common = {
    ...namedSpecials(config),
    ...(Array.isArray(additional) ? { additional_special_tokens: additional } : {}),
    tools: null,
    documents: null,
  };
  const run = (messages: readonly ChatMessage[], answering: boolean): string =>
    runTemplate(program, { ...common, messages, add_generation_prompt: answering });
  try {
    run([{ role: "user", content: "a" }], true);
  } catch (cause) {
    // The template may require a system message first, or something else.
    if (!(cause instanceof Refusal)) throw invalid(name, reason(cause), cause);
  }
  return {
    name,
    render(messages, answering = true) {
      try {
        return run(messages, answering);
      } catch (cause) {
        const what = cause instanceof Refusal ? "refuses" : "cannot render";
        throw new ResonantError(
          "invalid_argument",
          `the model's chat template ${what} them: ${reason(cause)}`,
          { option: "messages", cause },
        );
      }
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

const reason = (error: unknown): string =>
  printable(error instanceof Error ? error.message : String(error), 500);

const invalid = (where: string, why: string, cause?: unknown): ResonantError =>
  invalidFile(
    where,
    `its chat template cannot be used: ${why}`,
    "Use the one that came with the model",
    cause,
  );

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
