/** A thread of the platform's that runs a program given as text. */
export interface Thread {
  send(message: unknown): void;
  /** Whether the process may end although the thread is there. */
  rest(resting: boolean): void;
  end(): void;
}

export interface ThreadEvents {
  message(value: unknown): void;
  /** The thread is gone, and was not asked to end. `memory`: it passed its limit; `failure`: it could not run at all. */
  gone(why: "memory" | "failure", cause: unknown): void;
}

/**
 * Starts a thread.
 * @param program JavaScript, of `worker.ts`: it takes messages by `onmessage` and answers by `postMessage`
 * @param heapBytes the most memory for its objects, where the platform can limit it
 */
export type StartThread = (program: string, heapBytes: number, events: ThreadEvents) => Thread;
