import type { Model, Piece, RetrieveOptions } from "../engine/platform/library.ts";

/** The part of the library that is tried, from whichever build. */
export interface Library {
  collect(pieces: AsyncIterable<Piece>): Promise<{ readonly text: string }>;
  retrieve(model: Model, options: RetrieveOptions): Promise<unknown>;
}

/** What a model answers, to be compared bit by bit. */
export interface Answers {
  readonly text: string;
  /** Texts with metrics, a batch, and search results, as JSON has them. */
  readonly rest: unknown;
  /** All log-probabilities, of texts and of a score. */
  readonly logprobs: readonly number[];
}

const PROMPT = "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n\n";

/** Asks a model with at least four slots for everything that a user can see. */
export async function answersOf({ collect, retrieve }: Library, model: Model): Promise<Answers> {
  const sampled = { seed: 7, maxTokens: 32, temperature: 0.9, metrics: true, logprobs: 5 };
  const first = await collect(model.generate("ROMEO:", sampled));
  const greedy = { seed: 1, maxTokens: 12, temperature: 0 };
  const prompt = await collect(model.generate(PROMPT, { ...sampled, maxTokens: 12, repetitionPenalty: 1.2 }));
  const lengths = [5, 30, 50, 70];
  const batch = await Promise.all(
    lengths.map((length) => collect(model.generate(PROMPT.slice(0, length), greedy))),
  );
  const rest: unknown[] = [first, prompt, batch, await model.score(await model.encode(PROMPT), 5)];
  for (const mode of model.weights.shape.pvm ? (["pvm", "hybrid"] as const) : []) {
    if (mode === "hybrid" && !model.weights.shape.lattice) continue;
    const search = { context: PROMPT.repeat(4), needle: "Before we procede", mode, topK: 3 };
    rest.push(await retrieve(model, search));
  }
  const logprobs: number[] = [];
  const json = JSON.stringify(rest, (key, value: unknown) => {
    if (typeof value !== "number") return value;
    if (key === "logprob") logprobs.push(value);
    // A confidence is computed by JavaScript, in f64, and `Math.exp` is another one in each version of V8.
    return key === "logprob" ? undefined : key === "confidence" ? Number(value.toPrecision(12)) : value;
  });
  return { text: first.text, rest: JSON.parse(json), logprobs };
}
