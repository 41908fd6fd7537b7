import type { ByteSource } from "./byte-source.ts";
import { invalidFile, printable, unsupported } from "./refuse.ts";

const END = 0x06054b50;
const END64 = 0x06064b50;
const END64_LOCATOR = 0x07064b50;
const ENTRY = 0x02014b50;
const LOCAL = 0x04034b50;
const MAX_COMMENT = 65_535;
const MAX_DIRECTORY_BYTES = 64 * 2 ** 20;
const MAX_ENTRIES = 250_000;
const ESCAPED_32 = 0xffffffff;

/** One file of a zip archive, as its central directory describes it. */
export interface ZipEntry {
  readonly name: string;
  /** Bytes as stored and as unpacked: equal if `method` is 0. */
  readonly packedSize: number;
  readonly size: number;
  /** 0 stored, 8 deflated. */
  readonly method: number;
  readonly encrypted: boolean;
  /** Where its local header begins. */
  readonly headerOffset: number;
}

/**
 * Reads a zip's central directory, zip64 or not (PKWARE APPNOTE 4.3, 4.5.3). Checksums are not checked: PyTorch has an
 * option to write files without them.
 * @throws ResonantError `invalid_file` if it is truncated, repeats a name, or its entries overlap
 */
export async function readZipDirectory(source: ByteSource): Promise<ReadonlyMap<string, ZipEntry>> {
  const directory = await findDirectory(source);
  const bytes = view(await source.read(directory.offset, directory.size));
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let i = 0; i < directory.count; i++) {
    const { entry, next } = readEntry(source.name, bytes, at);
    if (entries.has(entry.name)) throw invalidFile(source.name, `holds ${printable(entry.name)} twice`);
    entries.set(entry.name, entry);
    at = next;
  }
  checkOverlap(source.name, [...entries.values()], directory.offset);
  return entries;
}

/**
 * Where the bytes of an entry begin. This reads its local header, whose length may differ from the directory's.
 * @throws ResonantError `unsupported` if the entry is compressed or encrypted
 */
export async function zipDataOffset(source: ByteSource, entry: ZipEntry): Promise<number> {
  const where = `${source.name}: ${printable(entry.name)}`;
  if (entry.encrypted) throw unsupported(where, "is encrypted");
  if (entry.method !== 0) {
    throw unsupported(
      where,
      `is compressed (zip method ${entry.method === 8 ? "8, deflate" : entry.method}), but torch.save does not compress`,
      "Save it again with torch.save, or zip it with no compression",
    );
  }
  if (entry.packedSize !== entry.size) throw invalidFile(where, "is stored, but with two different sizes");
  const header = view(await source.read(entry.headerOffset, 30));
  if (header.getUint32(0, true) !== LOCAL) {
    throw invalidFile(where, `has no local header at byte ${entry.headerOffset}`);
  }
  return entry.headerOffset + 30 + header.getUint16(26, true) + header.getUint16(28, true);
}

async function findDirectory(source: ByteSource): Promise<{ offset: number; size: number; count: number }> {
  const tailLength = Math.min(source.size, 22 + MAX_COMMENT);
  const tailStart = source.size - tailLength;
  const tail = view(await source.read(tailStart, tailLength));
  let at = tailLength - 22;
  // The comment must end where the file ends; otherwise a signature inside it could be taken for the record.
  while (
    at >= 0 &&
    !(tail.getUint32(at, true) === END && at + 22 + tail.getUint16(at + 20, true) === tailLength)
  ) {
    at--;
  }
  if (at < 0) {
    throw invalidFile(
      source.name,
      `truncated: a zip begins here, but its ${source.size} bytes hold no end record`,
      "Fetch the file again",
    );
  }
  const disks = tail.getUint16(at + 4, true) + tail.getUint16(at + 6, true);
  let count = tail.getUint16(at + 10, true);
  let size = tail.getUint32(at + 12, true);
  let offset = tail.getUint32(at + 16, true);
  let end = tailStart + at;
  const zip64 = await findZip64(source, end);
  if (zip64) ({ count, size, offset, end } = zip64);
  else if (disks !== 0) throw unsupported(source.name, "is one part of a zip in several parts");
  if (size > MAX_DIRECTORY_BYTES) throw invalidFile(source.name, `its zip directory claims ${size} bytes`);
  if (count > MAX_ENTRIES) throw invalidFile(source.name, `its zip directory claims ${count} entries`);
  if (offset + size > end || count * 46 > size) {
    throw invalidFile(
      source.name,
      `its zip directory (${count} entries, ${size} bytes at ${offset}) does not fit in ${end} bytes`,
    );
  }
  return { offset, size, count };
}

async function findZip64(source: ByteSource, end: number) {
  if (end < 20) return undefined;
  const locator = view(await source.read(end - 20, 20));
  if (locator.getUint32(0, true) !== END64_LOCATOR) return undefined;
  const at = uint64(source.name, locator, 8);
  const record = view(await source.read(at, 56));
  if (record.getUint32(0, true) !== END64)
    throw invalidFile(source.name, `has no zip64 record at byte ${at}`);
  return {
    count: uint64(source.name, record, 32),
    size: uint64(source.name, record, 40),
    offset: uint64(source.name, record, 48),
    end: at,
  };
}

function readEntry(file: string, bytes: DataView, at: number): { entry: ZipEntry; next: number } {
  const broken = () => invalidFile(file, `its zip directory is malformed at entry byte ${at}`);
  if (at + 46 > bytes.byteLength || bytes.getUint32(at, true) !== ENTRY) throw broken();
  const extraAt = at + 46 + bytes.getUint16(at + 28, true);
  const extraEnd = extraAt + bytes.getUint16(at + 30, true);
  const next = extraEnd + bytes.getUint16(at + 32, true);
  if (next > bytes.byteLength) throw broken();
  let packedSize = bytes.getUint32(at + 20, true);
  let size = bytes.getUint32(at + 24, true);
  let headerOffset = bytes.getUint32(at + 42, true);
  if (packedSize === ESCAPED_32 || size === ESCAPED_32 || headerOffset === ESCAPED_32) {
    let wide = findZip64Extra(bytes, extraAt, extraEnd);
    const take = () => {
      if (!wide || wide.byteLength < 8) throw broken();
      const value = uint64(file, wide, 0);
      wide = new DataView(wide.buffer, wide.byteOffset + 8, wide.byteLength - 8);
      return value;
    };
    if (size === ESCAPED_32) size = take();
    if (packedSize === ESCAPED_32) packedSize = take();
    if (headerOffset === ESCAPED_32) headerOffset = take();
  }
  const nameBytes = new Uint8Array(bytes.buffer, bytes.byteOffset + at + 46, extraAt - at - 46);
  const entry = {
    name: new TextDecoder().decode(nameBytes),
    packedSize,
    size,
    method: bytes.getUint16(at + 10, true),
    encrypted: (bytes.getUint16(at + 8, true) & 1) === 1,
    headerOffset,
  };
  return { entry, next };
}

/** The data of the zip64 extra field: only the values that the entry itself marks as too large, in a fixed order. */
function findZip64Extra(bytes: DataView, start: number, end: number): DataView | undefined {
  for (let at = start; at + 4 <= end; ) {
    const length = bytes.getUint16(at + 2, true);
    if (at + 4 + length > end) return undefined;
    if (bytes.getUint16(at, true) === 1) return new DataView(bytes.buffer, bytes.byteOffset + at + 4, length);
    at += 4 + length;
  }
  return undefined;
}

/** Refuses entries that share bytes: with them a small archive could unpack to a huge one. */
function checkOverlap(file: string, entries: ZipEntry[], directoryOffset: number): void {
  entries.sort((a, b) => a.headerOffset - b.headerOffset);
  entries.forEach((entry, i) => {
    const end = entry.headerOffset + 30 + entry.packedSize;
    const limit = entries[i + 1]?.headerOffset ?? directoryOffset;
    if (end <= limit) return;
    throw invalidFile(
      `${file}: ${printable(entry.name)}`,
      `its ${entry.packedSize} bytes at ${entry.headerOffset} run past byte ${limit}, where the next part begins`,
    );
  });
}

function uint64(file: string, bytes: DataView, at: number): number {
  const value = Number(bytes.getBigUint64(at, true));
  if (!Number.isSafeInteger(value)) throw invalidFile(file, `a zip64 field holds ${value}`);
  return value;
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
