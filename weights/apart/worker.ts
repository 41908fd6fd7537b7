import { boundBuiltins } from "./bound-builtins.ts";
import { type Answer, errorMessage, type Opening } from "./messages.ts";
import { tasks } from "./tasks.ts";

// The program of a thread: told its task first, then called again and again.

boundBuiltins();
const thread = globalThis as unknown as {
  postMessage(answer: Answer): void;
  onmessage: (event: { readonly data: unknown }) => void;
};
let run: ((input: never) => unknown) | undefined;

thread.onmessage = ({ data }) => {
  try {
    if (run) thread.postMessage({ value: run(data as never) });
    else {
      const { task, data: given } = data as Opening;
      run = tasks[task]!(given as never);
      thread.postMessage({ value: null });
    }
  } catch (error) {
    thread.postMessage({ error: errorMessage(error) });
  }
};
thread.postMessage({ value: null });
