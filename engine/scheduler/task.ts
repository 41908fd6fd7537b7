import { abortable } from "../../common/abortable.ts";
import { FairShares } from "./fair-shares.ts";

/** Whose a task is, and until when it is wanted. */
export interface TaskOptions {
  readonly client?: unknown;
  readonly request?: unknown;
  readonly signal?: AbortSignal | undefined;
}

/** A piece of a task that was submitted. */
export interface SubmittedPiece {
  /** When the GPU is done with it, or it has failed. */
  readonly done: Promise<unknown>;
}

/** A piece of a task that waits for its turn. */
export interface Piece {
  readonly task: Task;
  /** Tokens that it computes. */
  readonly tokens: number;
  /** Submits the piece. @returns when the GPU is done with it */
  readonly submit: () => Promise<unknown>;
}

/** Milliseconds that a piece should take at most. */
const PATIENCE = 100;
/** Tokens of a piece: at least, and of the first. */
const LEAST = 256;
const FIRST = 1024;

/** Work on the GPU that is no sequence's, as a search, in pieces that take turns with the sequences. */
export class Task {
  readonly client: unknown;
  readonly request: unknown;
  readonly #signal: AbortSignal | undefined;
  readonly #tasks: Tasks;
  #next: Piece | undefined;
  #most = FIRST;

  constructor(tasks: Tasks, { client, request, signal }: TaskOptions) {
    this.#tasks = tasks;
    this.client = client;
    this.request = request;
    this.#signal = signal;
  }

  /** Tokens that its next piece should compute at most, so that nobody waits long for it. */
  get most(): number {
    return this.#most;
  }

  /** The piece that waits for its turn. */
  get next(): Piece | undefined {
    return this.#next;
  }

  /**
   * Waits for the task's turn, then submits a piece. Await it before the next one.
   * @returns what `submit` resolves with. @throws what it throws; the signal's reason
   */
  async turn<T extends SubmittedPiece>(tokens: number, submit: () => T | Promise<T>): Promise<T> {
    const submitted = new Promise<T>((resolve, reject) => {
      const run = async (): Promise<void> => {
        this.#next = undefined;
        try {
          const piece = await submit();
          resolve(piece);
          await piece.done;
        } catch (error) {
          reject(error);
        }
      };
      this.#next = { task: this, tokens, submit: run };
      this.#tasks.wait(this);
    });
    submitted.catch(() => {}); // nobody awaits it if the signal was aborted before
    return abortable(submitted, this.#signal);
  }

  /** Learns from how long a piece took. */
  measure(tokens: number, milliseconds: number): void {
    if (tokens < this.#most && milliseconds < PATIENCE) return;
    this.#most = Math.max(
      LEAST,
      Math.floor(Math.min(2 * tokens, (tokens * PATIENCE) / Math.max(1, milliseconds))),
    );
  }

  /** Gives up what waits. */
  end(): void {
    this.#next = undefined;
    this.#tasks.delete(this);
  }
}

/** The tasks that wait for their turns. */
export class Tasks {
  readonly #shares = new FairShares<Task>((task) => task);
  readonly #onWait: () => void;

  /** @param onWait called when a piece waits for its turn */
  constructor(onWait: () => void) {
    this.#onWait = onWait;
  }

  get waiting(): number {
    return this.#shares.waiting;
  }

  open(options: TaskOptions): Task {
    return new Task(this, options);
  }

  wait(task: Task): void {
    this.#shares.set(task, "waits");
    this.#onWait();
  }

  delete(task: Task): void {
    this.#shares.delete(task);
  }

  /** The piece whose turn it is. */
  take(): Piece | undefined {
    const task = this.#shares.pick();
    const piece = task?.next;
    if (!task || !piece) return undefined;
    this.#shares.charge(task, piece.tokens);
    this.#shares.set(task, "rests");
    return piece;
  }
}
