import { below, oneOf, type Random, seeded } from "../../bench/random.ts";
import type { Ask } from "./http.ts";

/** The features of the served model that requests may use. */
export interface Served {
  /** The name that `/v1/models` lists. */
  readonly name: string;
  /** Whether it has a chat template. */
  readonly chat: boolean;
  /** Whether it has an alignment. */
  readonly aligned: boolean;
}

/** A request with exactly one right answer, because it has a seed. */
export interface Known extends Ask {
  readonly kind: string;
  readonly body: Readonly<Record<string, unknown>>;
}

const WORDS = "the oscillators agree on a phase and the memory of it turns until nobody remembers why".split(
  " ",
);

/** Returns a text of `length` characters. */
export function prose(random: Random, length: number): string {
  let text = "";
  while (text.length < length) text += `${oneOf(random, WORDS)}${random() < 0.1 ? ".\n" : " "}`;
  return text.slice(0, length);
}

/** Common prefixes of prompts, with one token per character. */
const SHARED = [70, 140, 270].map((length) => prose(seeded(length), length));

/** Returns a prompt of one to a few hundred tokens; two of five share a common prefix, three begin with their number. */
function promptOf(i: number, random: Random): string {
  const canary = `${i}: ${prose(random, below(random, 200))}`;
  if (i % 5 === 1) return SHARED[below(random, 3)]! + canary;
  if (i % 5 === 3) return SHARED[below(random, 3)]!;
  return i % 10 === 0 ? canary.slice(0, 1) : canary;
}

const sampling = (i: number, random: Random) => ({
  seed: 1000 + i,
  temperature: i % 7 === 0 ? 0 : 0.7 + random(),
  top_k: (i % 4) * 10,
  top_p: 1 - (i % 3) / 20,
  repetition_penalty: 1 + (i % 2) / 5,
  max_tokens: 10 + below(random, 60),
});

const kinds: readonly ((i: number, random: Random, served: Served) => Known)[] = [
  (i, random) => ({
    kind: "generate",
    path: "/v1/generate",
    body: { prompt: promptOf(i, random), ...sampling(i, random), stop_sequences: ["e", "\u0001"] },
  }),
  (i, random, { aligned }) => ({
    kind: "generate, streamed",
    path: "/v1/generate",
    body: {
      prompt: promptOf(i, random),
      ...sampling(i, random),
      stream: true,
      return_phase_metrics: i % 3 === 0,
      ...(aligned ? { readout_scale: 0.5 } : {}),
    },
  }),
  (i, random) => ({
    kind: "generate, measured",
    path: "/v1/generate",
    body: {
      prompt: promptOf(i, random),
      ...sampling(i, random),
      phase_temperature: 1,
      return_phase_metrics: true,
      return_memory_stats: true,
    },
  }),
  (i, random) => ({
    kind: "generate, with its state",
    path: "/v1/generate",
    body: {
      prompt: promptOf(i, random),
      ...sampling(i, random),
      return_state: true,
      stream: random() < 0.5,
      stop_sequences: ["zz"],
    },
  }),
  (i, random, { name }) => ({
    kind: "completions of several prompts",
    path: "/v1/completions",
    body: {
      model: name,
      prompt: [promptOf(i, random), promptOf(i + 1, random)],
      ...sampling(i, random),
      n: 2,
      best_of: 3,
      stop: "a",
    },
  }),
  (i, random, { name }) => ({
    kind: "completions with echo",
    path: "/v1/completions",
    body: {
      model: name,
      prompt: promptOf(i, random),
      ...sampling(i, random),
      echo: true,
      logprobs: i % 6,
      ...(i % 2 === 0 ? { max_tokens: 0 } : {}),
    },
  }),
  (i, random, { name }) => ({
    kind: "completions, streamed",
    path: "/v1/completions",
    body: {
      model: name,
      prompt: Array.from(Buffer.from(promptOf(i, random))),
      ...sampling(i, random),
      n: 3,
      logprobs: 2,
      stream: true,
      stream_options: { include_usage: true },
    },
  }),
  (i, random) => {
    const [before, after] = [prose(random, below(random, 200)), prose(random, below(random, 200))];
    return {
      kind: "retrieve",
      path: "/v1/retrieve",
      body: {
        context: `${before}needle ${i}${after}`,
        needle: `needle ${i}`,
        top_k: 3,
        return_phase_metrics: i % 3 === 0,
        return_memory_stats: true,
      },
    };
  },
];

const chat: (typeof kinds)[number] = (i, random, { name }) => ({
  kind: "chat",
  path: "/v1/chat/completions",
  body: {
    model: name,
    messages: [
      { role: "system", content: SHARED[1] },
      { role: "user", content: promptOf(i, random) },
    ],
    ...sampling(i, random),
    n: 2,
    logprobs: true,
    top_logprobs: 1,
    stream: random() < 0.5,
  },
});

/** Returns `count` requests of every kind that has a right answer. */
export function knownRequests(count: number, served: Served): Known[] {
  const all = served.chat ? [...kinds, chat] : kinds;
  return Array.from({ length: count }, (_, i) => all[i % all.length]!(i, seeded(i + 1), served));
}
