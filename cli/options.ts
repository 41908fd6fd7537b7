import { type Command, InvalidArgumentError, Option } from "commander";
import { type DeviceName, deviceChoices } from "../api/contract.ts";
import { modelVariables } from "../api/settings.ts";
import { ResonantError } from "../common/errors.ts";
import { parseNumber } from "../common/parse-number.ts";
import type { AttentionMode, Placement } from "../engine/families/index.ts";
import {
  type Gpu,
  loadModel,
  type Model,
  type OpenOptions,
  openDevice,
  requestAdapter,
} from "../engine/platform/node/index.ts";
import { type NumberRange, samplingOptions } from "../engine/sampling-options.ts";
import { type WeightFormat, weightFormats } from "../kernels/matrix.ts";
import { isFolder } from "../weights/node/file.ts";
import { downloadProgress, Progress, remark } from "./terminal.ts";

/** Converts `read` for use with `argParser`: a RangeError becomes commander's error for an invalid argument. */
export function argument<T>(read: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return read(text);
    } catch (error) {
      throw error instanceof RangeError ? new InvalidArgumentError(error.message) : error;
    }
  };
}

/** Returns a parser of numbers from `least` to `most`, for `argParser`. */
export const numberIn = (least: number, most: number, whole = false): ((text: string) => number) =>
  argument((text) => parseNumber(text, least, most, whole));

/** Returns a parser of numbers in the range of a library's option, for `argParser`. */
export const within = ({ least, most, whole }: NumberRange) => numberIn(least, most, whole);

export const jsonOption = (): Option => new Option("--json", "print JSON, for machines");

export const deviceOption = (): Option =>
  new Option("--device <kind>", "cuda or gpu: a hardware adapter, mps: Metal, cpu: a software adapter")
    .choices(Object.keys(deviceChoices))
    .env(modelVariables.device);

export const modelOption = (): Option =>
  new Option("-m, --model <name>", "a folder, or owner/name[@revision] on a model hub").env(
    modelVariables.model,
  );

export interface DeviceFlags {
  readonly device?: DeviceName;
  readonly unchecked?: boolean;
}

export interface ModelFlags extends DeviceFlags {
  readonly model?: string;
  readonly checkpoint?: string;
  readonly adapterPlacement?: Placement;
  readonly attention?: AttentionMode;
  readonly alignment?: string;
  readonly format: WeightFormat;
}

/** Adds the flags that choose the model and its options. */
export function withModel(command: Command): Command {
  return command
    .addOption(modelOption())
    .addOption(
      new Option(
        "--checkpoint <path>",
        "adapters for a base model (.pt, .safetensors), or the folder of a native model; --model is then only its name",
      ).env(modelVariables.checkpoint),
    )
    .addOption(
      new Option(
        "--adapter-placement <place>",
        "adapters before the first layer, or after each of the last layers (default: as trained)",
      )
        .choices(["embedding", "layers"])
        .env(modelVariables.adapterPlacement),
    )
    .addOption(
      new Option(
        "--attention <mode>",
        "attention of a base model: on, or bypass to pass on its normalised input (default: on)",
      )
        .choices(["on", "bypass"])
        .env(modelVariables.attention),
    )
    .addOption(
      new Option("--format <format>", "number format of the weights")
        .choices(weightFormats)
        .default("f32")
        .env(modelVariables.format),
    )
    .addOption(deviceOption())
    .addOption(
      switchOption(
        "--unchecked",
        "compute without bounds checks, which can be faster; only for model files that you trust",
        modelVariables.unchecked,
      ),
    );
}

// What a variable may hold that switches something on or off.
const ON: readonly string[] = ["1", "true", "yes", "on"];
const OFF: readonly string[] = ["", "0", "false", "no", "off"];

const wordOf = (variable: string): string | undefined => process.env[variable]?.trim().toLowerCase();

/**
 * A flag without a value that a variable also sets. Commander takes such a flag as given whatever its variable holds, so it is
 * told of the variable only where that is on.
 */
function switchOption(flag: string, about: string, variable: string): Option {
  const word = wordOf(variable);
  return word === undefined || ON.includes(word)
    ? new Option(flag, about).env(variable)
    : new Option(flag, `${about} (env: ${variable})`);
}

/** @throws ResonantError `invalid_argument` if the variable is set but neither on nor off */
function assertSwitch(variable: string): void {
  const word = wordOf(variable);
  if (word === undefined || ON.includes(word) || OFF.includes(word)) return;
  throw new ResonantError("invalid_argument", "is neither on nor off", {
    where: variable,
    fix: "Set it to 1 or 0",
  });
}

export const alignmentOption = (): Option =>
  new Option(
    "--alignment <file>",
    "output of `calibrate` for this model, with which its memory can bias the next token's logits",
  ).env(modelVariables.alignment);

export interface ReadoutFlags extends ModelFlags {
  readonly readoutScale: number;
}

/** Adds the flags of the alignment and of the scale of its readout's logit bias. */
export function withReadout(command: Command): Command {
  return command
    .addOption(alignmentOption())
    .addOption(
      new Option("--readout-scale <λ>", "scale of the readout's logit bias, 0: none")
        .argParser(within(samplingOptions.readoutScale))
        .default(samplingOptions.readoutScale.default),
    );
}

/** Checks the flags before a model is loaded. @throws ResonantError `invalid_argument` for a readout without an alignment */
export function checkReadout({ alignment, readoutScale }: ReadoutFlags): void {
  if (readoutScale === 0 || alignment !== undefined) return;
  throw new ResonantError("invalid_argument", `${readoutScale}, but there is no alignment`, {
    where: "--readout-scale",
    fix: "Give a file of `resonant calibrate` with --alignment",
  });
}

/** Loads the model that the flags name, or the default one, with progress bars. */
export async function openModel(
  flags: ModelFlags,
  more: Pick<OpenOptions, "slots" | "prefixBytes" | "onPacked"> = {},
): Promise<Model> {
  const { model, checkpoint, adapterPlacement, attention, alignment, format } = flags;
  const download = downloadProgress();
  const reading = new Progress("reading the model", "tensors");
  let fetched: { readonly file: string; readonly bar: Progress } | undefined;
  const fetching = (file: string): Progress => {
    if (fetched?.file !== file) {
      fetched?.bar.stop();
      fetched = { file, bar: new Progress(`fetching ${file}`, "bytes") };
    }
    return fetched.bar;
  };
  const native = checkpoint !== undefined && (await isFolder(checkpoint));
  try {
    return await loadModel({
      model: native ? checkpoint : model,
      name: native ? model : undefined,
      adapters: native ? undefined : checkpoint,
      placement: adapterPlacement,
      attention,
      alignment,
      format,
      ...more,
      ...deviceChoice(flags),
      onDownload: (bytes, total) => download.update(bytes, total),
      onProgress: (done, total) => {
        fetched?.bar.stop();
        download.stop();
        reading.update(done, total);
      },
      onFetch: (file, done, total) => fetching(file).update(done, total),
      onRemark: remark,
    });
  } finally {
    fetched?.bar.stop();
    download.stop();
    reading.stop();
  }
}

/** Returns the library's options for the device that the flags name. */
export const deviceChoice = ({
  device,
  unchecked,
}: DeviceFlags): Pick<OpenOptions, "device" | "unchecked"> => {
  assertSwitch(modelVariables.unchecked);
  return {
    ...(device && { device: deviceChoices[device] }),
    ...(unchecked && { unchecked }),
  };
};

/** Finds an adapter without loading a model. Shows a progress bar for the driver's download. */
export async function findAdapter(flags: DeviceFlags): Promise<GPUAdapter> {
  const download = downloadProgress();
  try {
    return await requestAdapter({
      ...deviceChoice(flags),
      onProgress: (bytes, total) => download.update(bytes, total),
    });
  } finally {
    download.stop();
  }
}

/** Opens a device without loading a model. Returns it and its adapter's name. */
export async function openGpu(flags: DeviceFlags): Promise<{ gpu: Gpu; name: string }> {
  const gpu = await openDevice(await findAdapter(flags), remark);
  return { gpu, name: gpu.name };
}
