import { abortable } from "./abortable.ts";
import { ResonantError } from "./errors.ts";
import type { Run, Runner, RunSettings, Step } from "./runner.ts";

/** Where a stream stands. Everything else its future depends on lies in its slot of the state pool. */
export interface Cursor {
  readonly slot: number;
  /** Tokens fed. */
  position: number;
  /** The last token, not yet fed. */
  pending: number | undefined;
}

export interface DecodeOptions extends RunSettings {
  readonly maxTokens: number;
  /** Steps submitted at once, 1 to the runner's most; two such runs are kept in flight. 0: wait for every token. */
  readonly runAhead: number;
  readonly signal?: AbortSignal | undefined;
}

interface Flight {
  readonly run: Run;
  /** The slot as it was before the run. */
  readonly snapshot: number;
}

/**
 * Feeds `prompt` after the stream's pending token and draws up to `maxTokens` tokens, several steps ahead of the reader.
 * However the reader leaves — at the end, early, by an exception or through `signal` — the stream then stands right
 * after the last token it was given: what was computed beyond is undone from a snapshot, and the accepted steps of a
 * run that was only partly read are run again.
 * @throws ResonantError `invalid_argument` with nothing to feed; the signal's reason when it is aborted
 */
export async function* decode(
  runner: Runner,
  cursor: Cursor,
  prompt: readonly number[],
  options: DecodeOptions,
): AsyncGenerator<Step, void, undefined> {
  const feed = cursor.pending === undefined ? prompt : [cursor.pending, ...prompt];
  if (feed.length === 0) {
    throw new ResonantError("invalid_argument", "there is nothing to continue", {
      where: "prompt",
      fix: "Give a prompt of at least one token, or a state",
    });
  }
  const depth = options.runAhead === 0 ? 1 : 2;
  const flights: Flight[] = [];
  let reading: Flight | undefined;
  let read = 0; // steps of `reading` given to the reader
  let submitted = 0;
  let size = 1; // grows, so that the first tokens come soon
  const { slot } = cursor;
  const submit = (start: (snapshot: number) => Run): void => {
    const snapshot = runner.snapshots.take();
    try {
      const run = start(snapshot);
      submitted += run.steps;
      flights.push({ run, snapshot });
    } catch (error) {
      runner.snapshots.give(snapshot);
      throw error;
    }
  };
  try {
    options.signal?.throwIfAborted();
    let position = cursor.position + feed.length;
    submit((snapshot) => runner.prompt(slot, cursor.position, feed, options, snapshot));
    while (submitted < options.maxTokens || flights.length > 0) {
      while (flights.length < depth && submitted < options.maxTokens) {
        const steps = Math.min(size, options.maxTokens - submitted);
        submit((snapshot) => runner.steps(slot, position, steps, options, snapshot));
        position += steps;
        size = Math.min(2 * size, Math.max(1, options.runAhead), runner.maxSteps);
      }
      reading = flights.shift()!;
      read = 0;
      for (const step of await abortable(reading.run.results, options.signal)) {
        options.signal?.throwIfAborted();
        cursor.position = reading.run.position + read + 1;
        cursor.pending = step.token;
        read++;
        yield step;
      }
      runner.snapshots.give(reading.snapshot);
      reading = undefined;
    }
  } finally {
    undo(runner, slot, reading, read, flights, options);
  }
}

function undo(
  runner: Runner,
  slot: number,
  reading: Flight | undefined,
  read: number,
  flights: readonly Flight[],
  settings: RunSettings,
): void {
  try {
    if (reading && read < reading.run.steps) {
      runner.restore(slot, reading.snapshot);
      if (read > 0) runner.steps(slot, reading.run.position, read, settings);
    } else if (flights[0]) {
      runner.restore(slot, flights[0].snapshot);
    }
  } finally {
    for (const flight of reading ? [reading, ...flights] : flights) runner.snapshots.give(flight.snapshot);
  }
}
