import { type Command, Command as Subcommand } from "commander";
import { decodeBench } from "../../bench/decode.ts";
import { jsonOption, type ModelFlags, openModel, withModel } from "../options.ts";
import { Progress, print, printJson, table } from "../terminal.ts";

/** `resonant bench`. */
export function benchCommand(): Command {
  return withModel(new Subcommand("bench").description("Measure decoding and prompts on this machine."))
    .option("--quick", "fewer and shorter rounds")
    .addOption(jsonOption())
    .action(async (flags: ModelFlags & { quick?: boolean; json?: boolean }) => {
      const model = await openModel(flags);
      const progress = new Progress("measuring", "timings");
      try {
        const rows = await decodeBench(model, {
          ...(flags.quick
            ? { tokens: 32, prompt: 256, rounds: 1 }
            : { tokens: 128, prompt: 2048, rounds: 3 }),
          onProgress: (done, total) => progress.update(done, total),
        });
        progress.stop();
        const about = { adapter: model.gpu.name, model: model.name, format: model.format };
        if (flags.json) return await printJson({ ...about, date: new Date().toISOString(), rows });
        await print(`${about.model} in ${about.format} on ${about.adapter}\n\n`);
        await print(
          table(rows.map(({ name, value, unit }) => [name, value.toPrecision(4).replace(/\.0+$/, ""), unit])),
        );
      } finally {
        progress.stop();
      }
    });
}
