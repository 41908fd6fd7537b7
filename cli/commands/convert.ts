import { type Command, Command as Subcommand } from "commander";
import { convertToSafetensors } from "../../weights/node/convert.ts";
import { jsonOption } from "../options.ts";
import { Progress, print, printJson } from "../terminal.ts";

/** `resonant convert`. */
export function convertCommand(): Command {
  return new Subcommand("convert")
    .description("Convert a PyTorch checkpoint to safetensors. No code in it is executed.")
    .argument("<checkpoint>", "file to read (.pt)")
    .argument("<output>", "file to write (.safetensors)")
    .option("--force", "overwrite an existing output file")
    .addOption(jsonOption())
    .action(async (input: string, output: string, flags: { force?: boolean; json?: boolean }) => {
      const progress = new Progress("converting", "tensors");
      try {
        const summary = await convertToSafetensors(
          input,
          output,
          ({ done, total }) => progress.update(done, total),
          { force: flags.force === true },
        );
        progress.stop();
        if (flags.json) return await printJson(summary);
        const dtypes = Object.entries(summary.dtypes).map(([dtype, count]) => `${count} ${dtype}`);
        await print(
          `${summary.tensors} tensors (${dtypes.join(", ")}), ${summary.bytes} bytes to ${summary.output}\n`,
        );
      } finally {
        progress.stop();
      }
    });
}
