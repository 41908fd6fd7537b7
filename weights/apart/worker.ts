import { answering } from "./answer.ts";
import { boundBuiltins } from "./bound-builtins.ts";
import type { Answer } from "./messages.ts";

// The program of a thread: it says that it has started, is told its task, and then is called again and again.

boundBuiltins();
const thread = globalThis as unknown as {
  postMessage(answer: Answer): void;
  onmessage: (event: { readonly data: unknown }) => void;
};
const answer = answering();
thread.onmessage = ({ data }) => thread.postMessage(answer(data));
thread.postMessage({ value: null });
