import { type Dtype, dtypeSize, elementCount } from "../dtype.ts";
import { openTensorFile } from "../open.ts";
import { unsupported } from "../refuse.ts";
import { writeSafetensors } from "../safetensors.ts";
import type { TensorFile, TensorInfo } from "../tensor-file.ts";
import { checkOutput, openFile, writeFileAtomically } from "./file.ts";
import { startThread } from "./threads.ts";

/** The progress of a conversion, reported as each tensor begins and once at the end, when `tensor` is undefined. */
export interface ConvertProgress {
  readonly tensor: string | undefined;
  readonly done: number;
  readonly total: number;
  /** Bytes of tensors. */
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

/** The result of a conversion. */
export interface ConvertSummary {
  readonly input: string;
  readonly output: string;
  readonly tensors: number;
  /** Bytes of the whole file, with its header. */
  readonly bytes: number;
  /** Tensors of each dtype. */
  readonly dtypes: Readonly<Partial<Record<Dtype, number>>>;
}

/**
 * Views of shared storages may repeat bytes (tied weights do); a file that expands further than this is not a checkpoint.
 */
const MAX_EXPANSION = 16;

/**
 * Converts a checkpoint to safetensors, from disk to disk, one tensor at a time. The output appears whole or not at all.
 * Plain values are kept in `__metadata__`: strings as they are, everything else as JSON.
 * @param options `force` allows replacing an existing output
 * @throws ResonantError `invalid_argument` if the output exists, or is the input; errors of `openTensorFile`
 */
export async function convertToSafetensors(
  inputPath: string,
  outputPath: string,
  onProgress: (progress: ConvertProgress) => void = () => {},
  options: { force?: boolean } = {},
): Promise<ConvertSummary> {
  const source = await openFile(inputPath);
  try {
    const checkTarget = () => checkOutput(outputPath, inputPath, options.force ?? false);
    await checkTarget();
    const file = await openTensorFile(source, startThread);
    const tensors = [...file.tensors.values()];
    const bytesTotal = tensors.reduce((sum, tensor) => sum + byteLength(tensor), 0);
    if (bytesTotal > MAX_EXPANSION * source.size) {
      throw unsupported(
        inputPath,
        `its ${source.size} bytes expand to ${bytesTotal} bytes of shared and repeated tensors`,
      );
    }
    let done = 0;
    let bytesDone = 0;
    const report = (tensor: string | undefined) =>
      onProgress({ tensor, done, total: tensors.length, bytesDone, bytesTotal });
    const writers = tensors.map((tensor) => ({
      ...tensorInfo(tensor),
      bytes: async () => {
        report(tensor.name);
        const bytes = await file.bytes(tensor.name);
        done++;
        bytesDone += bytes.byteLength;
        return bytes;
      },
    }));
    const chunks = writeSafetensors(writers, metadataText(file));
    const bytes = await writeFileAtomically(outputPath, chunks, checkTarget);
    report(undefined);
    return {
      input: inputPath,
      output: outputPath,
      tensors: tensors.length,
      bytes,
      dtypes: countDtypes(tensors),
    };
  } finally {
    await source.close();
  }
}

function tensorInfo({ name, dtype, shape }: TensorInfo): TensorInfo {
  return { name, dtype, shape };
}

function byteLength({ dtype, shape }: TensorInfo): number {
  return elementCount(shape)! * dtypeSize(dtype);
}

function countDtypes(tensors: readonly TensorInfo[]): Partial<Record<Dtype, number>> {
  const counts: Partial<Record<Dtype, number>> = {};
  for (const { dtype } of tensors) counts[dtype] = (counts[dtype] ?? 0) + 1;
  return counts;
}

function metadataText(file: TensorFile): Record<string, string> {
  const text: Record<string, string> = Object.create(null);
  if (file.format === "pt") text.format = "pt"; // Hugging Face's readers check which framework wrote the tensors
  for (const [key, value] of Object.entries(file.metadata)) {
    text[key] = typeof value === "string" ? value : JSON.stringify(value, notFinite);
  }
  return text;
}

/** JSON has neither NaN nor infinities, and would write null. */
function notFinite(_key: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}
