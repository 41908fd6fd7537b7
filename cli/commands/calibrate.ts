import { type Command, Option, Command as Subcommand } from "commander";
import { encodeAlignment } from "../../engine/alignment/alignment-file.ts";
import { calibrate, LEAST_TOKENS } from "../../engine/alignment/calibrate.ts";
import { checkOutput, writeFileAtomically } from "../../weights/node/file.ts";
import { jsonOption, type ModelFlags, numberIn, openModel, withModel } from "../options.ts";
import { readText } from "../read-text.ts";
import { Progress, print, printJson } from "../terminal.ts";

interface Flags extends ModelFlags {
  readonly data: string;
  readonly lambda: number;
  readonly tokens?: number;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** `resonant calibrate`. */
export function calibrateCommand(): Command {
  return withModel(
    new Subcommand("calibrate").description(
      "Fit a model's memory to its embedding, so that the memory can bias the next token's logits.",
    ),
  )
    .argument("<output>", "file to write (.safetensors)")
    .requiredOption("--data <file>", "UTF-8 text to fit; its last tenth is held out for the test")
    .addOption(
      new Option("--lambda <λ>", "ridge penalty; short texts need a larger one")
        .argParser(numberIn(0, 1e12))
        .default(1e-2),
    )
    .addOption(
      new Option("--tokens <n>", "use only the first n tokens of the text").argParser(
        numberIn(LEAST_TOKENS, 2 ** 31, true),
      ),
    )
    .option("--force", "overwrite an existing output file")
    .addOption(jsonOption())
    .action(async (output: string, flags: Flags) => {
      await checkOutput(output, flags.data, flags.force === true);
      const text = await readText(flags.data);
      const model = await openModel(flags);
      const progress = new Progress("calibrating", "tokens");
      try {
        const tokens = (await model.encode(text)).slice(0, flags.tokens);
        const { alignment, heldOut } = await calibrate(model, tokens, {
          lambda: flags.lambda,
          onProgress: (done, total) => progress.update(done, total),
        });
        progress.stop();
        const bytes = await writeFileAtomically(output, encodeAlignment(model, alignment), () =>
          checkOutput(output, flags.data, flags.force === true),
        );
        const { lambda, tokens: fitted, residual } = alignment;
        if (flags.json) {
          return await printJson({
            lambda,
            tokens: fitted,
            residual,
            held_out: {
              tokens: heldOut.tokens,
              residual: heldOut.residual,
              mean_residual: heldOut.meanResidual,
              top1: heldOut.top1,
              top5: heldOut.top5,
              baseline_top1: heldOut.baselineTop1,
              baseline_top5: heldOut.baselineTop5,
            },
            output,
            bytes,
          });
        }
        await print(
          `λ ${lambda}, fitted to ${fitted} tokens: relative residual ${residual.toFixed(4)}\n` +
            `held out, ${heldOut.tokens} tokens: relative residual ${heldOut.residual.toFixed(4)}, ` +
            `mean embedding ${heldOut.meanResidual.toFixed(4)}\n` +
            `next token by the readout alone: top 1 ${percent(heldOut.top1)}, top 5 ${percent(heldOut.top5)}\n` +
            `next token by frequency alone: top 1 ${percent(heldOut.baselineTop1)}, ` +
            `top 5 ${percent(heldOut.baselineTop5)}\n` +
            `${bytes} bytes to ${output}\n`,
        );
      } finally {
        progress.stop();
      }
    });
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
