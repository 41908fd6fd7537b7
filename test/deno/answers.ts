import type { Model, Piece, RetrieveOptions } from "../../engine/platform/library.ts";

/** The part of the library that is tried, from whichever build. */
export interface Library {
  collect(pieces: AsyncIterable<Piece>): Promise<{ readonly text: string }>;
  retrieve(model: Model, options: RetrieveOptions): Promise<unknown>;
}

/** What a model answers, to be compared bit by bit. */
export interface Answers {
  readonly text: string;
  /** Texts with metrics and log-probabilities, a batch, a score, and search results, as JSON. */
  readonly rest: string;
}

const PROMPT = "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n\n";

/** Asks a model with at least four slots for everything that a user can see. */
export async function answersOf({ collect, retrieve }: Library, model: Model): Promise<Answers> {
  const sampled = { seed: 7, maxTokens: 32, temperature: 0.9, metrics: true, logprobs: 5 };
  const first = await collect(model.generate("ROMEO:", sampled));
  const greedy = { maxTokens: 12, temperature: 0 };
  const prompt = await collect(model.generate(PROMPT, { ...sampled, maxTokens: 12, repetitionPenalty: 1.2 }));
  const lengths = [5, 30, 50, 70];
  const batch = await Promise.all(
    lengths.map((length) => collect(model.generate(PROMPT.slice(0, length), greedy))),
  );
  const rest: unknown[] = [first, prompt, batch, await model.score(model.encode(PROMPT), 5)];
  for (const mode of model.weights.shape.pvm ? (["pvm", "hybrid"] as const) : []) {
    if (mode === "hybrid" && !model.weights.shape.lattice) continue;
    const search = { context: PROMPT.repeat(4), needle: "Before we procede", mode, topK: 3 };
    rest.push(await retrieve(model, search));
  }
  return { text: first.text, rest: JSON.stringify(rest) };
}
