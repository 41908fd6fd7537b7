import type { Runner } from "../runner/runner.ts";
import type { Cursor } from "../scheduler/sequence.ts";
import type { PendingText } from "../text/text-stream.ts";
import type { Place } from "./residence.ts";

/** One stream of text: the place of its state on the GPU, and the part of its state on the host. */
export class Stream implements Cursor {
  readonly #runner: Runner;
  readonly place: Place;
  position = 0;
  pending: number | undefined;
  /** Undecoded bytes, and text held back for a possible stop string. */
  text: PendingText = { bytes: new Uint8Array(), text: "" };
  /** Of the sampler: the same seed, choice and position draw the same token. */
  seed = 0;
  choice = 0;
  #open = true;

  /** An empty stream. @throws ResonantError `out_of_memory` if too many are open */
  constructor(runner: Runner) {
    this.#runner = runner;
    this.place = runner.residence.enter();
  }

  /** A second stream that continues from here on its own. @throws ResonantError `unsupported` under attention */
  fork(): Stream {
    this.#runner.assertPortable("a stream cannot be forked");
    const copy = new Stream(this.#runner);
    this.#runner.residence.fork(this.place, copy.place);
    const { position, pending, text, seed, choice } = this;
    return Object.assign(copy, { position, pending, text, seed, choice });
  }

  /** The slot that its state is brought into, and stays in until another stream needs the slot. For work on the runner itself. */
  get slot(): number {
    const { residence } = this.#runner;
    const slot = residence.bring(this.place);
    residence.rest(this.place);
    return slot;
  }

  /** Forgets its state, and gives its place to others. */
  close(): void {
    if (this.#open) this.#runner.residence.leave(this.place);
    this.#open = false;
  }
}
