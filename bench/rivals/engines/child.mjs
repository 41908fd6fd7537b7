// Runs an engine as a separate process: `child.mjs MODULE OPENING` opens it, and answers each line `{"prompt", "tokens"}` with
// a line `{"answer"}`. Readers ignore all other lines, which libraries may print.
import { createInterface } from "node:readline";

const [module, opening] = process.argv.slice(2);
const answer = (value) => process.stdout.write(`${JSON.stringify({ answer: value })}\n`);
try {
  const { open } = await import(module);
  const { version, adapter, run } = await open(JSON.parse(opening));
  answer({ version, adapter });
  for await (const line of createInterface({ input: process.stdin })) {
    const { prompt, tokens } = JSON.parse(line);
    answer(await run(prompt, tokens));
  }
  process.exit(0);
} catch (error) {
  answer({ error: error instanceof Error ? error.message : String(error) });
  process.exit(1);
}
