import { type Command, Option, Command as Subcommand } from "commander";
import type { Evaluation } from "../../engine/runner/evaluate.ts";
import { type WeightFormat, weightFormats } from "../../kernels/matrix.ts";
import {
  checkReadout,
  jsonOption,
  numberIn,
  openModel,
  type ReadoutFlags,
  withModel,
  withReadout,
} from "../options.ts";
import { readText } from "../read-text.ts";
import { Progress, print, printJson } from "../terminal.ts";
import { needleCommand } from "./needle.ts";

interface Flags extends ReadoutFlags {
  readonly data?: string;
  readonly window: number;
  readonly stream?: boolean;
  readonly against?: WeightFormat;
  readonly json?: boolean;
}

/** `resonant eval`. Flags after its own command `needle` belong to `needle`, even if both have a flag of that name. */
export function evalCommand(): Command {
  return withReadout(withModel(new Subcommand("eval").description("Measure a model's loss on a text.")))
    .enablePositionalOptions()
    .addCommand(needleCommand().exitOverride())
    .option("--data <file>", "UTF-8 text to evaluate (required)")
    .addOption(
      new Option("--window <n>", "tokens per window; each window starts with an empty state")
        .argParser(numberIn(1, 2 ** 31, true))
        .default(256),
    )
    .addOption(new Option("--stream", "evaluate the text as one stream instead of in windows"))
    .addOption(
      new Option(
        "--against <format>",
        "also measure with weights in this format, and print the difference",
      ).choices(weightFormats),
    )
    .addOption(jsonOption())
    .action(async (flags: Flags, command: Command) => {
      if (flags.data === undefined) command.error("error: required option '--data <file>' not specified");
      checkReadout(flags);
      const text = await readText(flags.data);
      const { against, readoutScale } = flags;
      const other = against && (await measure({ ...flags, format: against }, text));
      const { tokens, window, speed, device, loss } = await measure(flags, text);
      const change = other && { against, against_loss: other.loss, change: loss / other.loss - 1 };
      const bias = readoutScale > 0 && { readout_scale: readoutScale };
      if (flags.json) return printJson({ loss, tokens, window, ...bias, ...change });
      const how = window ? `in windows of ${window}` : "as one stream";
      await print(`loss ${loss.toFixed(6)} nats per token, perplexity ${Math.exp(loss).toFixed(4)}\n`);
      if (bias) await print(`with the readout's logit bias at a scale of ${readoutScale}\n`);
      if (change) {
        const percent = `${change.change < 0 ? "" : "+"}${(100 * change.change).toFixed(3)} %`;
        await print(`${percent} against ${other.loss.toFixed(6)} with ${against} weights\n`);
      }
      await print(`${tokens} tokens ${how}, ${speed.toFixed(0)} a second, ${device}\n`);
    });
}

interface TimedEvaluation extends Evaluation {
  /** Tokens per second. */
  readonly speed: number;
  readonly device: string;
}

/** Loads the model that the flags name, measures it, and releases it. */
async function measure(flags: Flags, text: string): Promise<TimedEvaluation> {
  const model = await openModel(flags);
  const progress = new Progress(`evaluating with ${flags.format} weights`, "tokens");
  const start = performance.now();
  try {
    const result = await model.evaluate(await model.encode(text), {
      window: flags.stream ? undefined : flags.window,
      readoutScale: flags.readoutScale,
      onProgress: (done, total) => progress.update(done, total),
    });
    const speed = (1000 * result.tokens) / (performance.now() - start);
    return { ...result, speed, device: model.gpu.name };
  } finally {
    progress.stop();
    model.gpu.destroy();
  }
}
