import type { ServerResponse } from "node:http";
import { ApiError } from "./errors.ts";
import { EventBuffer } from "./event-buffer.ts";
import { Pace } from "./pace.ts";
import { type Settings, variableOf } from "./settings.ts";
import { readUnacknowledged } from "./unacknowledged.ts";

/** A stream of events that is being sent. */
export interface Reader {
  readonly buffer: EventBuffer;
  /** Ends the stream with an event `error` after what the connection has taken, then closes the connection. */
  cut(error: ApiError): void;
}

interface Watched extends Reader {
  readonly outgoing: ServerResponse;
  readonly pace: Pace;
}

/** Where all buffers together hold more than so many full ones, those that hold most are cut. */
const FULL_BUFFERS = 4096;

/** Most seconds between two looks at the readers. */
const LOOK = 5;

/** Watches who reads the streams of events. */
export class Readers {
  readonly #settings: Pick<Settings, "idleTimeout" | "minReadRate" | "streamBufferBytes">;
  readonly #open = new Set<Watched>();
  #timer: NodeJS.Timeout | undefined;

  constructor(settings: Pick<Settings, "idleTimeout" | "minReadRate" | "streamBufferBytes">) {
    this.#settings = settings;
  }

  /** Bytes that wait for all readers. */
  get bytes(): number {
    let sum = 0;
    for (const { buffer } of this.#open) sum += buffer.bytes;
    return sum;
  }

  /**
   * Watches the reader of a stream until its connection closes.
   * @param bounded whether what waits is bounded by the setting; else only by the end of the stream
   * @param cutOff stops what writes a stream that is cut, and returns its last event
   */
  watch(outgoing: ServerResponse, bounded: boolean, cutOff: (error: ApiError) => string): Reader {
    const { idleTimeout: idle, minReadRate: rate, streamBufferBytes } = this.#settings;
    const { socket } = outgoing;
    const buffer = new EventBuffer(bounded ? streamBufferBytes : Number.POSITIVE_INFINITY);
    const cut = (error: ApiError): void => {
      if (buffer.isCut) return;
      buffer.cut(cutOff(error));
      outgoing.once("finish", () => socket?.destroySoon());
    };
    const pace = new Pace({ idle, rate }, performance.now() / 1000);
    const reader: Watched = { outgoing, buffer, pace, cut };
    this.#open.add(reader);
    outgoing.once("close", () => {
      this.#open.delete(reader);
      if (this.#open.size === 0) this.stop();
    });
    this.#timer ??= setInterval(() => void this.#look(), 1000 * Math.min(LOOK, idle / 4)).unref();
    return reader;
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #look(): Promise<void> {
    const behind = [...this.#open].some(({ buffer }) => !buffer.caughtUp);
    const unacknowledged = behind ? await readUnacknowledged() : () => 0;
    const now = performance.now() / 1000;
    const { minReadRate, streamBufferBytes } = this.#settings;
    for (const { outgoing, buffer, pace, cut } of this.#open) {
      const { caughtUp } = buffer;
      buffer.caughtUp = false;
      const sent = outgoing.socket && unacknowledged(outgoing.socket);
      const taken = buffer.taken - outgoing.writableLength - (sent ?? 0);
      const fault = pace.see({ now, taken, caughtUp: caughtUp && !buffer.ended });
      if (fault === "idle" || (fault === "slow" && buffer.isCut)) outgoing.destroy();
      else if (fault === "slow") {
        cut(slowReader(`fewer than ${minReadRate} bytes a second (${variableOf("minReadRate")})`));
      }
    }
    if (this.bytes <= FULL_BUFFERS * streamBufferBytes) return;
    const largest = [...this.#open].sort((a, b) => b.buffer.bytes - a.buffer.bytes);
    for (const { cut } of largest) {
      cut(slowReader("the server cannot keep more for its readers"));
      if (this.bytes <= FULL_BUFFERS * streamBufferBytes) return;
    }
  }
}

const slowReader = (why: string): ApiError =>
  new ApiError("resource_error", `the stream was read too slowly: ${why}`);
