import { ResonantError } from "../../common/errors.ts";
import { type Answer, errorOf, type Opening } from "./messages.ts";
import type { StartThread, Thread } from "./thread.ts";

export interface ApartLimits {
  /** Milliseconds for opening and for each call; the thread's own start does not count. */
  readonly milliseconds: number;
  /** Bytes of objects. */
  readonly heapBytes: number;
}

/** Thrown when a task passes a limit: the message completes "it …". */
export class PastLimit extends Error {
  override readonly name = "PastLimit";
}

/** Idle for so many milliseconds, a thread is ended; the next call starts another. */
const IDLE = 600_000;

/**
 * Something a model brings that is a program in disguise (a template, regular expressions, a pickle). It runs in a thread of its
 * own, which is started when it is first needed and ended when it passes a limit; the next call starts another. Calls are done one
 * after the other, so that a limit ends the call that passed it and no other.
 */
export class Apart<In, Out> {
  readonly #start: StartThread;
  readonly #opening: Opening;
  readonly #limits: ApartLimits;
  #running: Running | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #idle: unknown;

  /** @param task a name of `tasks.ts` @param data what the task is opened with */
  constructor(start: StartThread, task: string, data: unknown, limits: ApartLimits) {
    this.#start = start;
    this.#opening = { task, data };
    this.#limits = limits;
  }

  /**
   * Does the task for `input`.
   * @param milliseconds more time than the limits give, for a longer input
   * @throws PastLimit; errors of the task; ResonantError `unsupported` if no thread can be had
   */
  call(input: In, milliseconds = 0): Promise<Out> {
    const done = this.#last.then(() => this.#call(input, milliseconds));
    this.#last = done.catch(() => {});
    return done;
  }

  /** Ends the thread, if there is one. */
  close(): void {
    clearTimeout(this.#idle);
    this.#running?.thread.end();
    this.#running = undefined;
  }

  async #call(input: In, more: number): Promise<Out> {
    clearTimeout(this.#idle);
    this.#running?.thread.rest(false);
    try {
      if (!this.#running) await this.#open();
      return (await this.#ask(input, more)) as Out;
    } finally {
      this.#running?.thread.rest(true);
      this.#idle = setTimeout(() => this.close(), IDLE);
      (this.#idle as { unref?(): void }).unref?.(); // in Node
    }
  }

  async #open(): Promise<void> {
    const { default: program } = await import("./program.ts");
    this.#running = new Running(this.#start, program, this.#limits.heapBytes);
    try {
      await this.#running.answer(undefined); // it has started
      await this.#ask(this.#opening, 0);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  async #ask(message: unknown, more: number): Promise<unknown> {
    const running = this.#running!;
    const answer = running.answer(this.#limits.milliseconds + more);
    try {
      running.thread.send(message);
      return await answer;
    } catch (error) {
      if (error instanceof PastLimit) this.close();
      throw error;
    }
  }
}

/** A thread, and who waits for its next message. */
class Running {
  readonly thread: Thread;
  #settle: ((answer: Answer | PastLimit | ResonantError) => void) | undefined;
  #gone: PastLimit | ResonantError | undefined;

  constructor(start: StartThread, program: string, heapBytes: number) {
    this.thread = start(program, heapBytes, {
      message: (value) => this.#settle?.(value as Answer),
      gone: (why, cause) => {
        this.#gone =
          why === "memory"
            ? new PastLimit(`needs more than ${Math.round(heapBytes / 2 ** 20)} MB of memory`)
            : notStarted(cause);
        this.#settle?.(this.#gone);
      },
    });
  }

  /** The next answer. @param milliseconds undefined: as long as it takes */
  answer(milliseconds: number | undefined): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const late = () =>
        this.#settle?.(new PastLimit(`takes more than ${(milliseconds! / 1000).toFixed(1)} s`));
      const timer = milliseconds === undefined ? undefined : setTimeout(late, milliseconds);
      this.#settle = (answer) => {
        clearTimeout(timer);
        this.#settle = undefined;
        if (answer instanceof Error) reject(answer);
        else if ("error" in answer) reject(errorOf(answer.error));
        else resolve(answer.value);
      };
      if (this.#gone) this.#settle(this.#gone);
    });
  }
}

const notStarted = (cause: unknown): ResonantError =>
  new ResonantError(
    "unsupported",
    `it could not be started (${(cause as Error | undefined)?.message ?? "blocked"})`,
    {
      where: "a worker for what a model brings",
      fix: "In a page, allow it: Content-Security-Policy: worker-src blob:",
      cause,
    },
  );
