import type { Ask } from "./http.ts";

/** A request that must be refused with this status. */
export interface Refusal extends Ask {
  readonly status: number;
}

/** Maximum body of the soak's server, in bytes. */
export const MOST_BODY_BYTES = 300_000;

const generate = (status: number, body: unknown, headers?: Record<string, string>): Refusal => ({
  path: "/v1/generate",
  status,
  body,
  ...(headers ? { headers } : {}),
});

const completions = (status: number, body: object): Refusal => ({ path: "/v1/completions", status, body });

/** Invalid input of every kind. */
export const refusals = (model: string): readonly Refusal[] => [
  generate(400, {}),
  generate(400, []),
  generate(400, { prompt: 7 }),
  generate(400, { prompt: "" }),
  generate(400, { prompt: "x".repeat(8193) }),
  generate(400, { prompt: "half a pair: \ud800" }),
  generate(400, { prompt: "x", max_tokens: 0 }),
  generate(400, { prompt: "x", temperature: "hot" }),
  generate(400, { prompt: "x", stop_sequences: [""] }),
  generate(400, { prompt: "x", stream: "perhaps" }),
  generate(400, { prompt: "x", readout_scale: 1 }),
  generate(400, '{"prompt": "cut sho'),
  generate(400, `{"prompt": ${"[".repeat(5000)}${"]".repeat(5000)}}`),
  generate(400, Uint8Array.of(0x22, 0xff, 0x22)),
  generate(409, { state: "abcd" }),
  generate(413, { prompt: "x".repeat(MOST_BODY_BYTES) }),
  generate(413, { prompt: "x".repeat(10 * MOST_BODY_BYTES) }),
  generate(415, { prompt: "x" }, { "Content-Type": "text/plain" }),
  generate(415, { prompt: "x" }, { "Content-Encoding": "gzip" }),
  generate(401, { prompt: "x" }, { Authorization: "Bearer of-no-key" }),
  generate(401, { prompt: "x", stream: true }, { Authorization: "" }),
  completions(400, { model }),
  completions(400, { model, prompt: [] }),
  completions(400, { model, prompt: [-1] }),
  completions(400, { model, prompt: "x", n: 1000 }),
  completions(400, { model, prompt: "x", logit_bias: { x: 1 } }),
  completions(404, { model: "another", prompt: "x" }),
  { path: "/v1/chat/completions", status: 400, body: { model, messages: [] } },
  { path: "/v1/retrieve", status: 400, body: { context: "x" } },
  { path: "/v1/retrieve", status: 400, body: { context: "x", needle: "x", retrieval_mode: "guess" } },
  { path: "/v1/generate", status: 405 },
  { method: "POST", path: "/v1/models", status: 405, body: {} },
  { path: "/v1/models/another", status: 404 },
  { path: "/v1/nowhere", status: 404 },
  { path: "/v1/generate/../../etc/passwd", status: 404 },
];
