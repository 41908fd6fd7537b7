import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";
import type { ChatMessage, Rendering, TemplateSource } from "./chat-template-types.ts";
import { printable } from "./refuse.ts";

/**
 * Opens a template, in a thread of its own: `tasks.ts` names it.
 * @throws Error that says why it cannot be parsed
 */
export function openTemplate({ source, variables }: TemplateSource) {
  const program = parse(tokenize(source, { trim_blocks: true, lstrip_blocks: true }));
  return ({ messages, answering }: { messages: readonly ChatMessage[]; answering: boolean }): Rendering => {
    try {
      return { text: runTemplate(program, { ...variables, messages, add_generation_prompt: answering }) };
    } catch (cause) {
      const why = printable(cause instanceof Error ? cause.message : String(cause), 500);
      return { why, refused: cause instanceof Refusal };
    }
  };
}

/** Thrown when a template itself refuses the messages. */
export class Refusal extends Error {}

/** Thrown when a template does more work than any conversation needs: it loops without end. */
export class TooMuchWork extends Error {
  constructor() {
    super("it takes more work than any conversation should");
  }
}

/**
 * The most steps, which take a second or so; 256 characters of a string or 16 items of a list count as one. A message takes
 * some 100.
 */
const MOST_WORK = 2 ** 19;
const MOST_RANGE = 10_000;
/** The longest text and list that a step may make, so that a thread's memory grows in small steps. */
const MOST_CHARACTERS = 2 ** 22;
const MOST_ITEMS = 2 ** 18;

type Evaluate = Interpreter["evaluate"];

/** Jinja's interpreter, with a count of what it does. */
class BoundedInterpreter extends Interpreter {
  #work = 0;

  override evaluate(...[statement, environment]: Parameters<Evaluate>): ReturnType<Evaluate> {
    if (++this.#work > MOST_WORK) throw new TooMuchWork();
    const result = super.evaluate(statement, environment);
    const { value } = result;
    // Counted too, because a few steps could double a string or a list until memory is full.
    if (typeof value === "string") {
      if (value.length > MOST_CHARACTERS) throw new TooMuchWork();
      this.#work += value.length / 256;
    } else if (Array.isArray(value)) {
      if (value.length > MOST_ITEMS) throw new TooMuchWork();
      this.#work += value.length / 16;
    }
    return result;
  }
}

/**
 * Runs a parsed template with `variables` and the functions that transformers gives it. Values are Jinja's own and are
 * looked up in maps, so that a template cannot reach anything of JavaScript.
 * @throws Refusal, TooMuchWork, or the interpreter's errors
 */
export function runTemplate(
  program: ReturnType<typeof parse>,
  variables: Readonly<Record<string, unknown>>,
): string {
  const environment = new Environment();
  const all = { ...constants, raise_exception, range, strftime_now, ...variables };
  for (const [name, value] of Object.entries(all)) environment.set(name, value);
  return String(new BoundedInterpreter(environment).run(program).value);
}

const constants = { true: true, false: false, none: null, True: true, False: false, None: null };

function raise_exception(message: unknown): never {
  throw new Refusal(typeof message === "string" ? message : "it gives no reason");
}

function range(...bounds: unknown[]): number[] {
  const [first = 0, second, step = 1] = bounds;
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  if (![start, stop, step].every(Number.isSafeInteger) || step === 0) {
    throw new Error("range() takes whole numbers, and no step of 0");
  }
  const [from, to, by] = [start, stop, step] as [number, number, number];
  const length = Math.max(0, Math.ceil((to - from) / by));
  if (length > MOST_RANGE) throw new TooMuchWork();
  return Array.from({ length }, (_, i) => from + i * by);
}

const two = (value: number): string => String(value).padStart(2, "0");
const worded = (date: Date, options: Intl.DateTimeFormatOptions): string =>
  new Intl.DateTimeFormat("en-US", options).format(date);

/** Python's date directives that templates use, in its C locale. */
const directives: Readonly<Record<string, (date: Date) => string>> = {
  Y: (date) => String(date.getFullYear()),
  y: (date) => two(date.getFullYear() % 100),
  m: (date) => two(date.getMonth() + 1),
  d: (date) => two(date.getDate()),
  B: (date) => worded(date, { month: "long" }),
  b: (date) => worded(date, { month: "short" }),
  A: (date) => worded(date, { weekday: "long" }),
  a: (date) => worded(date, { weekday: "short" }),
  H: (date) => two(date.getHours()),
  I: (date) => two(date.getHours() % 12 || 12),
  p: (date) => (date.getHours() < 12 ? "AM" : "PM"),
  M: (date) => two(date.getMinutes()),
  S: (date) => two(date.getSeconds()),
  "%": () => "%",
};

function strftime_now(format: unknown): string {
  const now = new Date();
  return String(format).replace(/%(.)/g, (whole, letter: string) => directives[letter]?.(now) ?? whole);
}
