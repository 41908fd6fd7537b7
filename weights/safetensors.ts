import type { ByteSource } from "./byte-source.ts";
import { type Dtype, dtypeSize, elementCount, isDtype, MOST_DIMENSIONS } from "./dtype.ts";
import { repeatedKey } from "./json-keys.ts";
import { invalidFile, listed, printable, unsupported } from "./refuse.ts";
import { type TensorFile, type TensorInfo, tensorFile } from "./tensor-file.ts";

/** The format's own limit for a header. */
const MAX_HEADER_BYTES = 100_000_000;
const METADATA = "__metadata__";
const MAX_NAME = 4096;

interface Entry extends TensorInfo {
  /** Bytes from the end of the header. */
  readonly begin: number;
  readonly end: number;
}

/**
 * Opens a safetensors file: 8 bytes of header length, the header as JSON, then the bytes of the tensors without gaps, in
 * the order of their offsets (https://huggingface.co/docs/safetensors, "Format").
 * @throws ResonantError `invalid_file` for a header that is truncated, malformed, repeats a key, or whose offsets overlap,
 * leave a gap, leave the file or differ from shape × dtype; `unsupported` for an unknown dtype
 */
export async function openSafetensors(source: ByteSource): Promise<TensorFile> {
  if (source.size < 8)
    throw invalidFile(source.name, `truncated: ${source.size} bytes, too few for a header`);
  const lengthBytes = await source.read(0, 8);
  const length = Number(new DataView(lengthBytes.buffer, lengthBytes.byteOffset).getBigUint64(0, true));
  if (length > MAX_HEADER_BYTES) {
    throw invalidFile(source.name, `its header claims ${length} bytes; the most is ${MAX_HEADER_BYTES}`);
  }
  if (length > source.size - 8) {
    throw invalidFile(
      source.name,
      `truncated: its header needs ${length} bytes, and ${source.size - 8} follow`,
      "Fetch the file again",
    );
  }
  const header = parseHeader(source.name, await source.read(8, length));
  const metadata = readMetadata(source.name, header[METADATA]);
  const entries = Object.entries(header)
    .filter(([name]) => name !== METADATA)
    .map(([name, value]) => readEntry(source.name, name, value));
  checkLayout(source.name, entries, source.size - 8 - length);
  return tensorFile(
    { name: source.name, format: "safetensors", metadata },
    new Map(entries.map((entry) => [entry.name, entry])),
    (entry, from, to) => source.read(8 + length + entry.begin + from, to - from),
  );
}

function parseHeader(file: string, bytes: Uint8Array): Record<string, unknown> {
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    value = JSON.parse(text);
  } catch (cause) {
    throw invalidFile(`${file}: header`, "is not valid UTF-8 JSON", undefined, cause);
  }
  if (!isRecord(value)) throw invalidFile(`${file}: header`, "is not a JSON object");
  const repeated = repeatedKey(text);
  if (repeated !== undefined) {
    throw invalidFile(`${file}: header`, `holds the key ${printable(repeated)} twice`);
  }
  return value;
}

function readMetadata(file: string, value: unknown): Readonly<Record<string, unknown>> {
  const metadata: Record<string, unknown> = Object.create(null);
  if (value === undefined) return metadata;
  if (!isRecord(value)) throw invalidFile(`${file}: ${METADATA}`, "is not a JSON object");
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") {
      throw invalidFile(`${file}: ${METADATA}.${printable(key)}`, "is not a string");
    }
    metadata[key] = text;
  }
  return metadata;
}

function readEntry(file: string, name: string, value: unknown): Entry {
  const where = `${file}: tensor ${printable(name)}`;
  if (name.length > MAX_NAME) throw invalidFile(where, `has a name of ${name.length} characters`);
  if (!isRecord(value)) throw invalidFile(where, "its header entry is not a JSON object");
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string") throw invalidFile(where, "has no dtype");
  if (!isDtype(dtype)) throw unsupported(where, `dtype ${printable(dtype)} is not one this engine reads`);
  if (!isSizes(shape)) throw invalidFile(where, "its shape is not a list of whole numbers");
  if (shape.length > MOST_DIMENSIONS) {
    throw invalidFile(where, `it has ${shape.length} dimensions; the most is ${MOST_DIMENSIONS}`);
  }
  if (!isSizes(offsets) || offsets.length !== 2) {
    throw invalidFile(where, "its data_offsets are not two whole numbers");
  }
  const bytes = tensorBytes(where, dtype, shape);
  const [begin, end] = [offsets[0]!, offsets[1]!];
  if (end - begin !== bytes) {
    throw invalidFile(
      where,
      `its offsets span ${end - begin} bytes, and ${listed(shape)} of ${dtype} is ${bytes}`,
    );
  }
  return { name, dtype, shape, begin, end };
}

function checkLayout(file: string, entries: readonly Entry[], available: number): void {
  let position = 0;
  let previous = "the header";
  for (const entry of [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    const where = `${file}: tensor ${printable(entry.name)}`;
    if (entry.begin < position)
      throw invalidFile(where, `overlaps ${printable(previous)} at byte ${entry.begin}`);
    if (entry.begin > position) {
      throw invalidFile(
        where,
        `leaves a hole of ${entry.begin - position} bytes after ${printable(previous)}`,
      );
    }
    if (entry.end > available) {
      throw invalidFile(
        where,
        `truncated: it ends at data byte ${entry.end}, but there are ${available}`,
        "Fetch the file again",
      );
    }
    position = entry.end;
    previous = entry.name;
  }
  if (position !== available) {
    throw invalidFile(file, `its tensors end at data byte ${position}, but there are ${available}`);
  }
}

function tensorBytes(where: string, dtype: Dtype, shape: readonly number[]): number {
  const bytes = (elementCount(shape) ?? Number.POSITIVE_INFINITY) * dtypeSize(dtype);
  if (!Number.isSafeInteger(bytes)) throw invalidFile(where, `its shape ${listed(shape)} is too large`);
  return bytes;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}

/** A tensor to be written; `bytes` is called once, when its turn comes. */
export interface TensorToWrite extends TensorInfo {
  bytes(): Promise<Uint8Array>;
}

/**
 * A safetensors file as chunks, first the header and then one chunk per tensor, so that only one tensor at a time is in
 * memory. Tensors are ordered by element size, largest first, then by name, so that each is aligned.
 * @throws ResonantError `invalid_file` for a repeated or reserved name, an impossible shape, a header that is too large, or
 * a tensor whose bytes do not match its shape
 */
export async function* writeSafetensors(
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = {},
): AsyncGenerator<Uint8Array> {
  const order = [...tensors].sort(
    (a, b) => dtypeSize(b.dtype) - dtypeSize(a.dtype) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  );
  yield encodeHeader(order, metadata);
  for (const tensor of order) {
    const where = `tensor ${printable(tensor.name)}`;
    const bytes = await tensor.bytes();
    const expected = tensorBytes(where, tensor.dtype, tensor.shape);
    if (bytes.byteLength !== expected) {
      throw invalidFile(where, `has ${bytes.byteLength} bytes to write, and its shape says ${expected}`);
    }
    yield bytes;
  }
}

function encodeHeader(
  order: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  // Built as text: a plain object would put names such as "10" before all others.
  const fields: string[] = [];
  if (Object.keys(metadata).length > 0) fields.push(`"${METADATA}":${JSON.stringify(metadata)}`);
  const names = new Set([METADATA]);
  let position = 0;
  for (const { name, dtype, shape } of order) {
    const where = `tensor ${printable(name)}`;
    if (names.has(name)) throw invalidFile(where, "has a name that is reserved or already taken");
    names.add(name);
    const end = position + tensorBytes(where, dtype, shape);
    fields.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [position, end] })}`);
    position = end;
  }
  const json = new TextEncoder().encode(`{${fields.join(",")}}`);
  const length = Math.ceil(json.length / 8) * 8;
  if (length > MAX_HEADER_BYTES) {
    throw invalidFile("safetensors header", `would be ${length} bytes; the most is ${MAX_HEADER_BYTES}`);
  }
  const out = new Uint8Array(8 + length).fill(0x20);
  new DataView(out.buffer).setBigUint64(0, BigInt(length), true);
  out.set(json, 8);
  return out;
}
