import { type Answer, errorMessage, type Opening } from "./messages.ts";
import { tasks } from "./tasks.ts";

/** What a thread does with its messages: the first one opens its task, each other one is a call. */
export function answering(): (message: unknown) => Answer {
  let run: ((input: never) => unknown) | undefined;
  return (message) => {
    try {
      if (run) return { value: run(message as never) };
      const { task, data } = message as Opening;
      run = tasks[task]!(data as never);
      return { value: null };
    } catch (error) {
      return { error: errorMessage(error) };
    }
  };
}
