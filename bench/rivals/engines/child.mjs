// An engine as a process of its own: `child.mjs MODULE OPENING` opens it and answers each `{"prompt", "tokens"}`, a line,
// with a line of `{"answer"}`. What libraries print in between is no answer.
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
