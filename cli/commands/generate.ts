import { readFile } from "node:fs/promises";
import { type Command, Option, Command as Subcommand } from "commander";
import { finishReasons, memoryStatsOf, phaseMetricsOf } from "../../api/contract.ts";
import { generateAnswer } from "../../api/responses.ts";
import { streamText } from "../../api/text-chunks.ts";
import { ResonantError } from "../../common/errors.ts";
import { collect, type Piece } from "../../engine/generate.ts";
import { type samplingDefaults, samplingOptions } from "../../engine/sampling-options.ts";
import { writeFileAtomically } from "../../weights/node/file.ts";
import {
  checkReadout,
  jsonOption,
  openModel,
  type ReadoutFlags,
  within,
  withModel,
  withReadout,
} from "../options.ts";
import { print, printJson, printStyled, remark } from "../terminal.ts";

interface Flags extends ReadoutFlags {
  readonly maxTokens: number;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  readonly ignoreEos?: boolean;
  readonly phaseTemperature: number;
  readonly seed?: number;
  readonly stop?: string[];
  readonly state?: string;
  readonly stateOut?: string;
  readonly metrics?: boolean;
  readonly runAhead: number;
  readonly json?: boolean;
}

/** `resonant generate`. */
export function generateCommand(): Command {
  const { seed, ...defaulted } = samplingOptions;
  const option = (flags: string, name: keyof typeof samplingDefaults, description: string): Option =>
    new Option(flags, description).argParser(within(defaulted[name])).default(defaulted[name].default);
  return withReadout(withModel(new Subcommand("generate").description("Continue a text.")))
    .argument("[prompt]", "text to continue, or - to read it from standard input; optional with --state", "")
    .addOption(option("-n, --max-tokens <n>", "maxTokens", "maximum number of tokens to generate"))
    .addOption(
      option(
        "-t, --temperature <t>",
        "temperature",
        "randomness of sampling, from 0 (always the most likely token) to 2",
      ),
    )
    .addOption(option("--top-k <k>", "topK", "sample from the k most likely tokens, 0: from all"))
    .addOption(
      option("--top-p <p>", "topP", "sample from the most likely tokens whose probabilities add up to p"),
    )
    .addOption(
      option(
        "--min-p <p>",
        "minP",
        "sample from tokens at least this share as likely as the likeliest, 0: from all",
      ),
    )
    .addOption(
      option(
        "--repetition-penalty <r>",
        "repetitionPenalty",
        "penalty for tokens that occurred before, from 1 (none) to 2",
      ),
    )
    .addOption(
      option(
        "--presence-penalty <p>",
        "presencePenalty",
        "penalty for tokens that the output has, from -2 to 2",
      ),
    )
    .addOption(
      option(
        "--frequency-penalty <p>",
        "frequencyPenalty",
        "penalty for each time that the output has a token, from -2 to 2",
      ),
    )
    .option("--ignore-eos", "go on after tokens that end a text")
    .addOption(
      option(
        "--phase-temperature <l>",
        "phaseTemperature",
        "raise the temperature where phases are not coherent, 0: off",
      ),
    )
    .addOption(
      new Option(
        "--seed <n>",
        "seed of sampling; the same seed gives the same text (default: random)",
      ).argParser(within(seed)),
    )
    .option("--stop <text...>", "texts at which generation stops")
    .option("--state <file>", "continue from a saved state")
    .option("--state-out <file>", "save the final state to this file")
    .option("--metrics", "print phase metrics and memory statistics")
    .addOption(option("--run-ahead <n>", "runAhead", "steps to compute ahead, 0: none"))
    .addOption(jsonOption())
    .action(async (prompt: string, flags: Flags) =>
      run(prompt === "-" ? await streamText(process.stdin, "standard input") : prompt, flags),
    );
}

async function run(prompt: string, flags: Flags): Promise<void> {
  const { state, stateOut, seed, json } = flags;
  if (prompt === "" && state === undefined) {
    throw new ResonantError("invalid_argument", "it is empty", {
      where: "prompt",
      fix: "Give a text, or --state",
    });
  }
  checkReadout(flags);
  const saved = state === undefined ? undefined : await readState(state);
  const model = await openModel(flags, { slots: 1 });
  const stream = saved ? await model.restore(saved, state) : model.open();
  const abort = new AbortController();
  process.once("SIGINT", () => abort.abort());
  const start = performance.now();
  const pieces = model.generate(prompt, {
    ...flags,
    ...(seed === undefined ? {} : { seed }),
    stream,
    stopSequences: flags.stop ?? [],
    metrics: flags.metrics === true,
    keepPending: stateOut !== undefined,
    signal: abort.signal,
  });
  if (!json && process.stdout.isTTY && prompt) await printStyled({ style: "dim", text: prompt });
  const sofar = { text: "", tokens: [] as number[] };
  try {
    const finish = await collect(json ? noting(pieces, sofar) : printing(pieces));
    const milliseconds = performance.now() - start;
    if (json) await printJson(generateAnswer(model, prompt, finish, milliseconds));
    else report(model.gpu.name, finish, milliseconds);
  } catch (error) {
    if (!abort.signal.aborted) throw error;
    if (json) {
      // What there is, in the shape of a whole answer.
      const promptTokens = prompt === "" ? 0 : (await model.encode(prompt)).length;
      const none = { stop: undefined, logprobs: undefined, phase: undefined, memory: undefined };
      const finish = {
        ...none,
        ...sofar,
        reason: "length",
        promptTokens,
        reusedTokens: 0,
        seed: stream.seed,
      } as const;
      const answer = generateAnswer(model, prompt, finish, performance.now() - start);
      await printJson({ ...answer, finish_reason: "interrupted" });
    } else await print("\n");
    process.exitCode = 130;
  }
  if (stateOut !== undefined) {
    const file = await model.save(stream);
    await writeFileAtomically(
      stateOut,
      (async function* () {
        yield file;
      })(),
    );
    remark(`saved ${file.length} bytes of state to ${stateOut}`);
  }
}

async function readState(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (cause) {
    throw new ResonantError("invalid_argument", `it cannot be read (${(cause as Error).message})`, {
      where: `--state ${path}`,
      cause,
    });
  }
}

async function* noting(
  pieces: AsyncIterable<Piece>,
  sofar: { text: string; tokens: number[] },
): AsyncGenerator<Piece> {
  for await (const piece of pieces) {
    sofar.text += piece.text;
    if (piece.token !== undefined) sofar.tokens.push(piece.token);
    yield piece;
  }
}

async function* printing(pieces: AsyncIterable<Piece>): AsyncGenerator<Piece> {
  for await (const piece of pieces) {
    if (piece.text) await print(piece.text);
    yield piece;
  }
  if (process.stdout.isTTY) await print("\n");
}

function report(device: string, finish: Awaited<ReturnType<typeof collect>>, milliseconds: number): void {
  const count = finish.tokens.length;
  const speed = (1000 * count) / milliseconds;
  if (process.stderr.isTTY) {
    const reason = finishReasons[finish.reason];
    remark(`${count} tokens, ${speed.toFixed(1)} a second, ${reason}, seed ${finish.seed}, ${device}`);
  }
  if (!finish.phase || !finish.memory) return;
  remark(JSON.stringify({ ...phaseMetricsOf(finish.phase), ...memoryStatsOf(finish.memory) }));
}
