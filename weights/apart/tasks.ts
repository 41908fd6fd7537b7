import { openTemplate } from "../chat-template-run.ts";
import { openPickles } from "../pt-pickles.ts";
import { openTokenizer } from "../tokenizer-run.ts";

/** What threads can do, by name: opened once with data, then called. */
export const tasks: Readonly<Record<string, (data: never) => (input: never) => unknown>> = {
  pickles: openPickles,
  template: openTemplate,
  tokenizer: openTokenizer,
};
