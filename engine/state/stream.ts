import type { Runner } from "../runner/runner.ts";
import type { Cursor } from "../scheduler/sequence.ts";
import type { PendingText } from "../text/text-stream.ts";

/** One stream of text: a slot of the state pool, and the part of its state on the host. */
export class Stream implements Cursor {
  readonly #runner: Runner;
  readonly slot: number;
  position = 0;
  pending: number | undefined;
  /** Undecoded bytes, and text held back for a possible stop string. */
  text: PendingText = { bytes: new Uint8Array(), text: "" };
  /** Of the sampler: the same seed, choice and position draw the same token. */
  seed = 0;
  choice = 0;
  #open = true;

  /** Takes an empty slot. @throws ResonantError `out_of_memory` if there is none */
  constructor(runner: Runner) {
    this.#runner = runner;
    this.slot = runner.pool.take();
    runner.pool.clear(this.slot);
  }

  /** A second stream that continues from here on its own. @throws ResonantError `unsupported` under attention */
  fork(): Stream {
    this.#runner.assertPortable("a stream cannot be forked");
    const copy = new Stream(this.#runner);
    this.#runner.snapshots.fork(this.slot, copy.slot);
    const { position, pending, text, seed, choice } = this;
    return Object.assign(copy, { position, pending, text, seed, choice });
  }

  /** Gives the slot back. */
  close(): void {
    if (this.#open) this.#runner.pool.give(this.slot);
    this.#open = false;
  }
}
