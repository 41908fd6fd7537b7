import type { StartThread } from "./apart/thread.ts";
import type { ByteSource } from "./byte-source.ts";
import { invalidFile, printable, unsupported, withinRange } from "./refuse.ts";
import { openSafetensors } from "./safetensors.ts";
import type { TensorFile } from "./tensor-file.ts";

/** First bytes of files that are sometimes mistaken for weights. */
const OTHER_FORMATS: readonly [RegExp, string, string][] = [
  [
    /^\s*<(!doctype|html|head|\?xml|!--)/i,
    "an HTML or XML page",
    "Fetch the file itself: a download link, not its page",
  ],
  [/^version https:\/\/git-lfs/, "a Git LFS pointer", "Fetch the file itself: git lfs pull"],
  [/^GGUF/, "a GGUF file", "Fetch the model as safetensors"],
  [/^\s*[{[]/, "JSON text", "Pass the weights, not their index or configuration"],
  [/^[^ -~]\u{8b}/u, "a gzip archive", "Unpack it first"],
  [/^\u{89}HDF/u, "an HDF5 file", "Fetch the model as safetensors"],
];

/**
 * Opens a file of tensors by its content, whatever its name: safetensors, or a PyTorch checkpoint of either form. Only
 * headers are read; nothing in a checkpoint is ever run. A pickle is read in a thread of its own, which `start` starts.
 * @throws ResonantError `invalid_file` or `unsupported`, naming the file and what is wrong with it
 */
export function openTensorFile(source: ByteSource, start: StartThread): Promise<TensorFile> {
  return withinRange(source.name, () => open(source, start));
}

async function open(source: ByteSource, start: StartThread): Promise<TensorFile> {
  if (source.size === 0) throw invalidFile(source.name, "is empty", "Fetch the file again");
  const head = await source.read(0, Math.min(source.size, 512));
  const text = String.fromCharCode(...head);
  if (text.startsWith("PK\x03\x04")) return (await pt()).openPtZip(source, start);
  if (text[8] === "{" && looksLikeHeader(head)) return openSafetensors(source);
  for (const [pattern, what, fix] of OTHER_FORMATS) {
    if (pattern.test(text)) throw invalidFile(source.name, `is ${what}, not a file of weights`, fix);
  }
  if (head[0] === 0x80 || /\.(pt|pth|bin|ckpt|pkl|pickle)$/i.test(source.name))
    return (await pt()).openPtLegacy(source, start);
  if (text.slice(257, 262) === "ustar") {
    throw unsupported(source.name, "is a tar archive", "Save it again with today's torch.save");
  }
  if (source.size < 16 || looksLikeHeader(head)) return openSafetensors(source);
  const bytes = [...head.subarray(0, 8)].map((b) => b.toString(16).padStart(2, "0")).join(" ");
  throw invalidFile(
    source.name,
    `is neither safetensors nor a PyTorch checkpoint: it begins ${bytes} (${printable(text.slice(0, 8))})`,
  );
}

/** This module is loaded only if there is such a file. */
const pt = () => import("./pt.ts");

/** Whether the first 8 bytes could be the length of a safetensors header (at most 100 MB). */
function looksLikeHeader(head: Uint8Array): boolean {
  return head.length >= 8 && head[4] === 0 && head[5] === 0 && head[6] === 0 && head[7] === 0;
}
