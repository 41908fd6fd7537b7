import { computed, signal } from "@preact/signals";
import type { Client } from "../engine/client.ts";
import { type Failure, failureOf } from "../engine/errors.ts";
import type { ModelInfo } from "../engine/protocol.ts";
import { Controls } from "./sampling.ts";
import { Session } from "./session.ts";

/** Most sessions side by side. */
const MAX_SESSIONS = 2;

/** The sessions of the loaded model, and what the reader can do with them. */
export class Workspace {
  readonly #client: Client;
  readonly controls = new Controls();
  readonly sessions = signal<readonly Session[]>([]);
  /** The one whose oscillators are shown. */
  readonly shown = signal<Session | undefined>(undefined);
  /** What went wrong outside a generation, such as a file that is not a state, or a bad seed. */
  readonly failure = signal<Failure | undefined>(undefined);
  readonly canFork = computed(() => this.sessions.value.length < MAX_SESSIONS);
  /** Whether an engine is ready. */
  readonly ready = computed(() => this.#client.status.value.kind === "ready");

  constructor(client: Client) {
    this.#client = client;
  }

  /** Starts an empty session for a newly loaded model; the draft is kept. */
  begin(model: ModelInfo): void {
    const session = new Session(this.#client, model);
    session.draft.value = this.sessions.peek()[0]?.draft.peek() ?? "";
    this.sessions.value = [session];
    this.shown.value = session;
    this.failure.value = undefined;
  }

  /** Recovers all sessions after the same model was loaded again. */
  async recover(): Promise<void> {
    await Promise.all(this.sessions.peek().map((session) => this.attempt(() => session.recover())));
  }

  write(session: Session): Promise<void> {
    return this.attempt(async () => {
      const sampling = this.controls.sampling();
      const prompt = session.draft.peek();
      session.draft.value = "";
      this.shown.value = session;
      await session.write({ prompt, sampling });
      // A refused prompt returns to the draft, unless it will be repeated on a new device.
      const ending = session.ending.peek();
      const refused = ending?.kind === "failed" && ending.failure.code !== "device_lost";
      if (refused && session.draft.peek() === "") session.draft.value = prompt;
    });
  }

  fork(session: Session): Promise<void> {
    return this.attempt(async () => {
      const choice = 1 + Math.max(...this.sessions.peek().map((each) => each.choice));
      this.sessions.value = [...this.sessions.peek(), await session.fork(choice)];
    });
  }

  close(session: Session): Promise<void> {
    return this.attempt(async () => {
      await session.close();
      this.sessions.value = this.sessions.peek().filter((each) => each !== session);
      if (this.shown.peek() === session) this.shown.value = this.sessions.peek()[0];
    });
  }

  /** Replaces a session by an empty one. */
  restart(session: Session): Promise<void> {
    return this.attempt(async () => {
      await session.close();
      const fresh = new Session(this.#client, session.model);
      this.sessions.value = this.sessions.peek().map((each) => (each === session ? fresh : each));
      this.shown.value = fresh;
    });
  }

  save(session: Session): Promise<void> {
    return this.attempt(async () => {
      const url = URL.createObjectURL(await session.save());
      const link = document.createElement("a");
      link.href = url;
      link.download = `${session.model.name}-${session.position.peek()}.state`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    });
  }

  load(session: Session, file: File): Promise<void> {
    return this.attempt(() => session.load(file));
  }

  /** Runs `act`; shows its error instead of throwing it. */
  async attempt(act: () => Promise<void> | undefined): Promise<void> {
    this.failure.value = undefined;
    try {
      await act();
    } catch (error) {
      this.failure.value = failureOf(error);
    }
  }
}
