import { basename } from "node:path";
import { type Command, Command as Subcommand } from "commander";
import { Gpu } from "../../engine/device/gpu.ts";
import { type Measured, tune, tunedFormats } from "../../engine/device/tune.ts";
import type { Tuning } from "../../engine/device/tuning.ts";
import { productShapes } from "../../engine/families/index.ts";
import { forgetAgreement } from "../../engine/platform/node/agreement-file.ts";
import { describeAdapter } from "../../engine/platform/node/device.ts";
import { defaultModelFolder, openModelFolder } from "../../engine/platform/node/files.ts";
import { forgetTuning, rememberTuning } from "../../engine/platform/node/tuning-file.ts";
import type { ProductShape } from "../../engine/product-shape.ts";
import { resolveModel } from "../../weights/node/hub/model.ts";
import { type DeviceFlags, deviceOption, jsonOption, modelOption } from "../options.ts";
import { print, printJson, remark, table } from "../terminal.ts";
import { findTimedAdapter } from "./bench/device.ts";

/** `resonant tune`. */
export function tuneCommand(): Command {
  return new Subcommand("tune")
    .description(
      "Measure which variants of the kernels are fastest on this machine, and remember them. Results stay the same bits.",
    )
    .addOption(modelOption())
    .addOption(deviceOption())
    .option("--forget", "delete what was remembered for this adapter, without measuring")
    .addOption(jsonOption())
    .action(async ({ json, forget, model, ...flags }: TuneFlags) => {
      const adapter = await findTimedAdapter(flags);
      const { name } = describeAdapter(adapter);
      if (forget) {
        const options = { onRemark: remark };
        const found = [await forgetTuning(adapter, options), await forgetAgreement(adapter, options)];
        const forgotten = found.includes(true);
        if (json) return printJson({ adapter: name, forgotten });
        return print(`${name}: ${forgotten ? "forgotten" : "nothing was remembered"}\n`);
      }
      const of = await productsOf(model);
      const gpu = await Gpu.open(adapter, name);
      const { tuning, standard, timed, measured } = await tune(gpu, of.products).finally(() => gpu.destroy());
      const file = await rememberTuning(adapter, tuning, { onRemark: remark });
      if (json) {
        return printJson({
          adapter: name,
          model: of.model,
          timed,
          file,
          tuning: asJson(tuning),
          standard: asJson(standard),
          measured: measured.map(measuredAsJson),
        });
      }
      await print(
        `${name}, the products of ${of.model}, timed by the ${timed === "gpu" ? "GPU" : "host"}\n\n`,
      );
      await print(
        table([
          ["choice", "products", "µs, f32", "f16", ""],
          ...measured.map((of) => [
            questions[of.choice],
            wayOf(of),
            ...tunedFormats.map((format) => of.microseconds[format].toFixed(1)),
          ]),
        ]),
      );
      await print("\n");
      await print(
        table([
          ["", "chosen", "standard"],
          ...(Object.keys(questions) as (keyof Tuning)[]).map((choice) => [
            questions[choice],
            String(tuning[choice]),
            String(standard[choice]),
          ]),
        ]),
      );
      await print(`\nremembered in ${file}\n`);
    });
}

interface TuneFlags extends DeviceFlags {
  readonly json?: boolean;
  readonly forget?: boolean;
  readonly model?: string;
}

/** The matrices of a model, from its configuration. */
async function productsOf(name?: string): Promise<{ model: string; products: readonly ProductShape[] }> {
  const folder = name === undefined ? await defaultModelFolder() : await resolveModel(name);
  const files = await openModelFolder(folder);
  try {
    const model = name ?? `resonant-${basename(folder)}`;
    return { model, products: productShapes(files.config, files.name) };
  } finally {
    await files.close();
  }
}

const questions: Readonly<Record<keyof Tuning, string>> = {
  sharedLoadLanes: "lanes that share loads",
  rowsPerWorkgroup: "rows of a matrix per workgroup",
  tiledDecodeFrom: "least number of streams for tiles",
};

/** The names of the choices in `--json`. */
const fields = {
  sharedLoadLanes: "share",
  rowsPerWorkgroup: "products",
  tiledDecodeFrom: "many_rows",
} as const;

const asJson = ({ sharedLoadLanes, rowsPerWorkgroup, tiledDecodeFrom }: Tuning) => ({
  [fields.sharedLoadLanes]: sharedLoadLanes,
  [fields.rowsPerWorkgroup]: rowsPerWorkgroup,
  [fields.tiledDecodeFrom]: tiledDecodeFrom,
});

const measuredAsJson = ({ choice, sharedLoadLanes, rowsPerWorkgroup, ...of }: Measured) => ({
  choice: fields[choice],
  [fields.sharedLoadLanes]: sharedLoadLanes,
  [fields.rowsPerWorkgroup]: rowsPerWorkgroup,
  ...of,
});

const wayOf = ({ choice, sharedLoadLanes, rowsPerWorkgroup, way, rows }: Measured): string => {
  const of = rows === 1 ? "1 row" : `${rows} rows`;
  if (choice === "sharedLoadLanes") return `${of}, ${sharedLoadLanes} lanes`;
  return choice === "rowsPerWorkgroup"
    ? `${of}, ${rowsPerWorkgroup} of the matrix`
    : `${of}, ${{ row: "one at a time", tiles: "in tiles" }[way]}`;
};
