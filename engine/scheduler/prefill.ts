import { CHUNK } from "../../kernels/memory-scan/memory-scan.ts";
import { type Chunks, chunksOf, cutsOf, type PrefixCache } from "./prefix-cache.ts";
import type { Sequence } from "./sequence.ts";

/** Part of a prompt that is fed at once. */
export interface PromptPart {
  /** Of its first token. */
  readonly position: number;
  readonly tokens: readonly number[];
}

/**
 * A prompt that is being fed, for one sequence or for several that have the same prompt. The first is fed; the others
 * become copies of it when the prompt ends.
 */
export class Prefill {
  readonly client: unknown;
  /** Its first sequence's {@link shareKey}; undefined where no other sequence may join. */
  readonly key: string | undefined;
  readonly tokens: readonly number[];
  /** In the order they came. */
  readonly sequences = new Set<Sequence>();
  /** Tokens that the first sequence has got without being fed them. */
  reused = 0;
  readonly #start: number;
  readonly #prefixes: PrefixCache | undefined;
  readonly #chunks: Chunks;
  /** Positions ahead where the state is to be kept. */
  #cuts: readonly number[];
  /** Tokens whose state the first sequence has. */
  #done = 0;

  /** @param prefixes states after other prompts' prefixes, to start from and to add to; undefined: none are kept */
  constructor(sequence: Sequence, key: string | undefined, prefixes: PrefixCache | undefined) {
    const { cursor, fresh, options, prompt } = sequence;
    this.client = options.client;
    this.key = key;
    this.tokens = prompt;
    this.sequences.add(sequence);
    this.#start = cursor.position;
    this.#prefixes = fresh ? prefixes : undefined;
    this.#chunks = this.#prefixes ? chunksOf(prompt) : [];
    this.#cuts = this.#prefixes ? cutsOf(prompt.length) : [];
  }

  /** Whether these are its tokens. */
  isOf(prompt: readonly number[]): boolean {
    return prompt.length === this.tokens.length && prompt.every((token, i) => token === this.tokens[i]);
  }

  /** The sequence that is fed. */
  get first(): Sequence | undefined {
    return this.sequences.values().next().value;
  }

  /** Position of the next token to feed. */
  get position(): number {
    return this.#start + this.#done;
  }

  /** Tokens still to be fed. */
  get left(): number {
    return this.tokens.length - this.#done;
  }

  /** Skips the tokens up to the longest kept prefix. @returns the row of its state, if it goes beyond what was fed */
  reuse(): number | undefined {
    if (!this.#prefixes || this.#chunks.length === 0) return undefined;
    const { kept, row, shared } = this.#prefixes.find(this.client, this.#chunks);
    const more = kept - this.position;
    const found = more > 0 ? row : undefined;
    if (found !== undefined) {
      this.reused += more;
      this.advance(more);
    }
    // Where it parts from another prompt, a third may part from both.
    const cuts = new Set([...this.#cuts, shared].filter((cut) => cut > this.position));
    this.#cuts = [...cuts].sort((a, b) => a - b);
    return found;
  }

  /** What to feed next: to the prompt's end or to a cut, or as many whole chunks of the scan as `room` has rows for. */
  next(room: number): PromptPart {
    const { position, left } = this;
    const most = Math.min(left, (this.#cuts[0] ?? Number.POSITIVE_INFINITY) - position);
    const rows = most <= room ? most : Math.floor(room / CHUNK) * CHUNK;
    return { position, tokens: this.tokens.slice(this.#done, this.#done + rows) };
  }

  /** Takes note that so many tokens were fed. */
  advance(tokens: number): void {
    this.#done += tokens;
  }

  /** Where the state should be kept as it is now. @returns the prefix row for it; undefined: nowhere, or it is kept already */
  keep(): number | undefined {
    if (this.position !== this.#cuts[0]) return undefined;
    return this.#prefixes?.keep(this.client, this.#chunks, this.position);
  }

  /** The first sequence has left: the next takes its place, with all that was fed as its start. */
  inherit(): void {
    this.reused = this.#done;
  }
}

/**
 * Sequences of one client can share the feeding of their prompts only if their keys are equal: they have no past, have the
 * same logit bias of the readout, and prompts of one length and one hash (FNV-1a). Undefined: it cannot share.
 */
export function shareKey({ fresh, options, prompt }: Sequence): string | undefined {
  if (!fresh) return undefined;
  const hash = prompt.reduce((so, token) => Math.imul(so ^ token, 0x01000193), 0x811c9dc5);
  return `${options.readoutScale ?? 0} ${prompt.length} ${hash}`;
}
