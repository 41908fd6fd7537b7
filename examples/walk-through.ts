// A tour of the API, step by step:
//   npx resonant serve                                    in another terminal
//   node examples/walk-through.ts [http://localhost:8000]
// This needs Node 22.18 or newer. Node 20 cannot run TypeScript directly; use:
//   npx esbuild examples/walk-through.ts --bundle --platform=node --format=esm | node --input-type=module
// The server's address and an API key may also come from RESONANT_URL and API_KEY.
import { ResonantClient, ServerError } from "./api-client.ts";

const { RESONANT_URL, API_KEY } = process.env;
const client = new ResonantClient(
  process.argv[2] ?? RESONANT_URL ?? "http://localhost:8000",
  API_KEY ? { apiKey: API_KEY } : {},
);

const health = await client.health();
console.log(`${health.status}, up for ${Math.round(health.uptime_seconds)} s, version ${health.version}`);

const info = await client.modelInfo();
console.log(
  `${info.model_name}: ${info.num_afrb_layers} blocks of width ${info.hidden_size} on ${info.device}`,
);

console.log("\n-- a text and its phase metrics");
const answer = await client.generate("ROMEO:", {
  max_tokens: 60,
  seed: 1,
  return_phase_metrics: true,
  return_memory_stats: true,
});
console.log(answer.text);
console.log(
  `[${answer.finish_reason} after ${answer.tokens_generated} tokens, ${Math.round(answer.timing_ms)} ms]`,
);
console.log(`[coherence ${answer.phase_metrics?.phase_coherence?.toFixed(3)}]`);
console.log(`[memory ${answer.memory_stats?.total_memory_kb} kB]`);

console.log("\n-- a stream");
const stream = client.stream("JULIET:", { max_tokens: 60, seed: 2, return_state: true });
let piece = await stream.next();
for (; !piece.done; piece = await stream.next()) process.stdout.write(piece.value);
console.log(`\n[${piece.value.finish_reason}]`);

console.log("\n-- continued from its state, without sending the text again");
const state = piece.value.state ?? "";
console.log(`[a state of ${state.length} characters]`);
console.log((await client.generate("", { state, max_tokens: 40 })).text);

console.log("\n-- a search in a text");
const context = `${"The watch stood idle at the gate. ".repeat(20)}The password is marigold. ${"Rain fell on the walls. ".repeat(20)}`;
for (const match of await client.retrieve(context, "password is marigold", { top_k: 3 })) {
  console.log(`${match.similarity?.toFixed(3)} at token ${match.position}: ${JSON.stringify(match.text)}`);
}

console.log("\n-- an invalid request");
try {
  await client.generate("ROMEO:", { max_tokens: 0 });
} catch (error) {
  if (!(error instanceof ServerError)) throw error;
  console.log(error.status, error.message, error.body.details);
}
