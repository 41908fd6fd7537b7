import { type Model, type Piece, ResonantError, type Stream } from "../../engine/platform/browser/index.ts";
import type { TokenTrace } from "../trace.ts";
import type { Sampling, WriteEvent, Written } from "./protocol.ts";

/** A token's text, and where it begins in the transcript. */
interface Said {
  readonly offset: number;
  readonly text: string;
  readonly prompt: boolean;
}

type Own = Float32Array<ArrayBuffer> | undefined;

/** A stream, and the text that each of its tokens stands for. */
export class TracedStream {
  readonly stream: Stream;
  readonly #model: Model;
  /** By position, for tokens without a trace so far. */
  readonly #said = new Map<number, Said>();
  #stop: AbortController | undefined;

  constructor(model: Model, stream: Stream) {
    this.#model = model;
    this.stream = stream;
  }

  fork(): TracedStream {
    const copy = new TracedStream(this.#model, this.stream.fork());
    for (const [position, said] of this.#said) copy.#said.set(position, said);
    return copy;
  }

  /** @param offset UTF-16 units of the transcript before `prompt` */
  async write(
    prompt: string,
    { seed, ...sampling }: Sampling,
    choice: number,
    offset: number,
    tell: (event: WriteEvent) => void,
  ): Promise<Written> {
    if (this.#stop) throw new ResonantError("invalid_argument", "this text is being written already");
    const stop = new AbortController();
    this.#stop = stop;
    const start = performance.now();
    const { stream } = this;
    const [traces, early]: [TokenTrace[], TokenTrace[]] = [[], []];
    let [untold, tokens, end] = [await this.#listen(prompt, offset), 0, offset + prompt.length];
    const onPrompt = (position: number, measures: Float32Array): void => {
      const rows = measures.length / this.#measures;
      for (let row = 0; row < rows; row++) {
        const own = measures.subarray(row * this.#measures, (row + 1) * this.#measures);
        traces.push(this.#traced(position + row, own));
      }
      untold -= rows;
      if (untold === 0) traces.push(...early.splice(0));
    };
    let reason: Written["reason"] = "stopped";
    let promptTokens = 0;
    try {
      const pieces = this.#model.generate(prompt, {
        ...sampling,
        ...(seed === undefined ? {} : { seed }),
        choice,
        stream,
        keepPending: true,
        trace: true,
        onPrompt,
        signal: stop.signal,
      });
      for await (const piece of pieces) {
        if (piece.finish) ({ reason, promptTokens } = piece.finish);
        this.#take(piece, end, untold > 0 ? early : traces);
        end += piece.text.length;
        if (piece.token !== undefined) tokens++;
        const milliseconds = performance.now() - start;
        const { position } = stream;
        tell({ text: piece.text, traces: traces.splice(0), tokens, milliseconds, position });
      }
    } catch (error) {
      if (!stop.signal.aborted) throw error;
    } finally {
      this.#stop = undefined;
    }
    return { reason, promptTokens, position: stream.position };
  }

  /** Ends the running generation after the tokens already reported. */
  stop(): void {
    this.#stop?.abort();
  }

  close(): void {
    this.stop();
    this.stream.close();
  }

  /** How many numbers a token's measures have. */
  get #measures(): number {
    return 4 * this.#model.facts.blocks.length;
  }

  /** Records the text of each prompt token. Returns how many tokens `onPrompt` will report. */
  async #listen(prompt: string, offset: number): Promise<number> {
    const { position, pending } = this.stream;
    const tokens = prompt === "" ? [] : await this.#model.encode(prompt);
    const decoder = new TextDecoder();
    let [at, next] = [offset, position + (pending === undefined ? 0 : 1)];
    for (const token of tokens) {
      const text = decoder.decode(this.#model.tokenBytes(token), { stream: true });
      this.#said.set(next++, { offset: at, text, prompt: true });
      at += text.length;
    }
    return Math.max(0, next - position - 1);
  }

  #take({ text, token, trace }: Piece, offset: number, traces: TokenTrace[]): void {
    if (trace) traces.push(this.#traced(trace.position - 1, trace.measures, trace.state));
    if (token === undefined || !trace) return;
    this.#said.set(trace.position, { offset, text, prompt: false });
  }

  #traced(position: number, measures: Float32Array, state?: Float32Array): TokenTrace {
    const said = this.#said.get(position) ?? { offset: 0, text: "", prompt: false };
    this.#said.delete(position);
    // A view would be transferred with the whole buffer it looks into: copy.
    return { ...said, position, measures: measures.slice(), state: state?.slice() as Own };
  }
}
