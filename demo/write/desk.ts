import { computed, signal } from "@preact/signals";
import type { Client } from "../engine/client.ts";
import { type Failure, failureOf } from "../engine/errors.ts";
import type { ModelInfo } from "../engine/protocol.ts";
import { Pane } from "./pane.ts";
import { Controls } from "./sampling.ts";

/** Most panes side by side. */
const MOST_PANES = 2;

/** The panes of the model that is loaded, and what is done with them. */
export class Desk {
  readonly #client: Client;
  readonly controls = new Controls();
  readonly panes = signal<readonly Pane[]>([]);
  /** The one whose oscillators are shown. */
  readonly shown = signal<Pane | undefined>(undefined);
  /** What went wrong outside a generation: a file that is no state, a seed that is none. */
  readonly failure = signal<Failure | undefined>(undefined);
  readonly canFork = computed(() => this.panes.value.length < MOST_PANES);
  /** Whether there is an engine to ask. */
  readonly ready = computed(() => this.#client.status.value.kind === "ready");

  constructor(client: Client) {
    this.#client = client;
  }

  /** Begins with an empty pane for a model that was loaded; what was typed stays. */
  begin(model: ModelInfo): void {
    const pane = new Pane(this.#client, model);
    pane.draft.value = this.panes.peek()[0]?.draft.peek() ?? "";
    this.panes.value = [pane];
    this.shown.value = pane;
    this.failure.value = undefined;
  }

  /** After the same model was loaded again. */
  async recover(): Promise<void> {
    await Promise.all(this.panes.peek().map((pane) => this.attempt(() => pane.recover())));
  }

  write(pane: Pane): Promise<void> {
    return this.attempt(async () => {
      const sampling = this.controls.sampling();
      const prompt = pane.draft.peek();
      pane.draft.value = "";
      this.shown.value = pane;
      await pane.write({ prompt, sampling });
      // What was not taken is given back, but for what is written again on another device.
      const ending = pane.ending.peek();
      const refused = ending?.kind === "failed" && ending.failure.code !== "device_lost";
      if (refused && pane.draft.peek() === "") pane.draft.value = prompt;
    });
  }

  fork(pane: Pane): Promise<void> {
    return this.attempt(async () => {
      const choice = 1 + Math.max(...this.panes.peek().map((each) => each.choice));
      this.panes.value = [...this.panes.peek(), await pane.fork(choice)];
    });
  }

  close(pane: Pane): Promise<void> {
    return this.attempt(async () => {
      await pane.close();
      this.panes.value = this.panes.peek().filter((each) => each !== pane);
      if (this.shown.peek() === pane) this.shown.value = this.panes.peek()[0];
    });
  }

  /** An empty pane in this one's place. */
  restart(pane: Pane): Promise<void> {
    return this.attempt(async () => {
      await pane.close();
      const fresh = new Pane(this.#client, pane.model);
      this.panes.value = this.panes.peek().map((each) => (each === pane ? fresh : each));
      this.shown.value = fresh;
    });
  }

  save(pane: Pane): Promise<void> {
    return this.attempt(async () => {
      const url = URL.createObjectURL(await pane.save());
      const link = document.createElement("a");
      link.href = url;
      link.download = `${pane.model.name}-${pane.position.peek()}.state`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    });
  }

  load(pane: Pane, file: File): Promise<void> {
    return this.attempt(() => pane.load(file));
  }

  /** Shows what goes wrong in `act`, and lets nothing of it through. */
  async attempt(act: () => Promise<void> | undefined): Promise<void> {
    this.failure.value = undefined;
    try {
      await act();
    } catch (error) {
      this.failure.value = failureOf(error);
    }
  }
}
