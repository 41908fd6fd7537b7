import { readFile } from "node:fs/promises";
import { type Command, Option, Command as Subcommand } from "commander";
import { ResonantError } from "../../engine/errors.ts";
import { jsonOption, type ModelFlags, numberIn, openModel, withModel } from "../options.ts";
import { Progress, print, printJson } from "../terminal.ts";

interface Flags extends ModelFlags {
  readonly data: string;
  readonly window: number;
  readonly stream?: boolean;
  readonly json?: boolean;
}

/** `resonant eval`. */
export function evalCommand(): Command {
  return withModel(new Subcommand("eval").description("Measure a model's loss on a text."))
    .requiredOption("--data <file>", "UTF-8 text")
    .addOption(
      new Option("--window <n>", "tokens of a window, each from an empty state")
        .argParser(numberIn(1, 2 ** 31, true))
        .default(256),
    )
    .addOption(new Option("--stream", "one uninterrupted stream instead"))
    .addOption(jsonOption())
    .action(async (flags: Flags) => {
      const text = await readText(flags.data);
      const model = await openModel(flags);
      const progress = new Progress("evaluating", "tokens");
      const start = performance.now();
      try {
        const result = await model.evaluate(model.encode(text), {
          window: flags.stream ? undefined : flags.window,
          onProgress: (done, total) => progress.update(done, total),
        });
        progress.stop();
        if (flags.json) return await printJson(result);
        const seconds = (performance.now() - start) / 1000;
        const how = result.window ? `in windows of ${result.window}` : "as one stream";
        await print(
          `loss ${result.loss.toFixed(6)} nats per token, perplexity ${Math.exp(result.loss).toFixed(4)}\n`,
        );
        await print(
          `${result.tokens} tokens ${how}, ${(result.tokens / seconds).toFixed(0)} a second, ${model.gpu.name}\n`,
        );
      } finally {
        progress.stop();
      }
    });
}

async function readText(path: string): Promise<string> {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await readFile(path));
  } catch (cause) {
    const why =
      cause instanceof TypeError ? "it is no UTF-8 text" : `it cannot be read (${(cause as Error).message})`;
    throw new ResonantError("invalid_argument", why, { where: `--data ${path}`, cause });
  }
}
