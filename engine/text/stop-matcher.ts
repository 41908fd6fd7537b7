import { ResonantError } from "../../common/errors.ts";

/** Text that can no longer change, and the stop string that ended it, if any. */
export interface Released {
  text: string;
  stopped: string | undefined;
}

/**
 * Cuts a text that arrives in pieces at the first stop string in it: the one that begins earliest, and of those that
 * begin together the longest. The result does not depend on where the pieces were cut. So a stop is
 * reported only when no longer or earlier one can still match: a few tokens late if one stop string starts with another.
 */
export class StopMatcher {
  readonly #stops: readonly string[];
  #pending: string;
  #stopped: string | undefined;

  /**
   * @param stops the stop strings; none lets everything through.
   * @param pending what an earlier matcher held back, of these or other stop strings.
   * @throws ResonantError `invalid_argument` for a stop string that is empty or holds half a surrogate pair.
   */
  constructor(stops: readonly string[], pending = "") {
    stops.forEach((stop, index) => {
      const option = `stopSequences[${index}]`;
      const fix = "Leave it out, or give the text to stop at";
      if (typeof stop !== "string" || stop === "") {
        throw new ResonantError("invalid_argument", "is empty, which would stop everything", { option, fix });
      }
      if (LONE_SURROGATE.test(stop)) {
        throw new ResonantError("invalid_argument", "holds half a surrogate pair", { option, fix });
      }
    });
    this.#stops = [...new Set(stops)];
    this.#pending = pending;
  }

  /** Text held back because a stop string may have begun in it. */
  get pending(): string {
    return this.#pending;
  }

  /** Adds text. Returns what can no longer belong to a stop string; nothing after a stop. */
  push(text: string): Released {
    return this.#release(this.#pending + text, false);
  }

  /** Ends the text. Releases the held-back text up to a complete stop string, if there is one. */
  flush(): Released {
    return this.#release(this.#pending, true);
  }

  #release(text: string, ended: boolean): Released {
    if (this.#stopped !== undefined) return { text: "", stopped: this.#stopped };
    const match = this.#firstMatch(text);
    const open = ended ? text.length : this.#firstOpen(text);
    if (match !== undefined && match.at < open) {
      this.#pending = "";
      this.#stopped = match.stop;
      return { text: text.slice(0, match.at), stopped: match.stop };
    }
    this.#pending = text.slice(open);
    return { text: text.slice(0, open), stopped: undefined };
  }

  #firstMatch(text: string): { at: number; stop: string } | undefined {
    let first: { at: number; stop: string } | undefined;
    for (const stop of this.#stops) {
      const at = text.indexOf(stop);
      if (at < 0 || (first && (at > first.at || (at === first.at && stop.length < first.stop.length))))
        continue;
      first = { at, stop };
    }
    return first;
  }

  /** Returns the start of the longest suffix that more text could complete to a stop string or a surrogate pair. */
  #firstOpen(text: string): number {
    let open = HIGH_SURROGATE_END.test(text) ? text.length - 1 : text.length;
    for (const stop of this.#stops) {
      for (let at = Math.max(0, text.length - stop.length + 1); at < open; at++) {
        if (stop.startsWith(text.slice(at))) open = at;
      }
    }
    return open;
  }
}

const LONE_SURROGATE = /\p{Surrogate}/u;
const HIGH_SURROGATE_END = /[\ud800-\udbff]$/;
