import type { ByteSource } from "./byte-source.ts";
import { dtypeSize } from "./dtype.ts";
import { readPickle } from "./pickle.ts";
import { EndOfPickle } from "./pickle-cursor.ts";
import { PickleDict, type PickleStorage, type PickleValue } from "./pickle-values.ts";
import { invalidFile, printable, unsupported } from "./refuse.ts";

/** `torch.serialization.MAGIC_NUMBER`, and its only protocol version. */
const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL = 1001;
const MAX_PICKLE_BYTES = 64 * 2 ** 20;
const FIRST_WINDOW = 64 * 1024;

/** The bytes of a storage in the file: where they begin, and how many they are. */
export interface StorageRange {
  readonly start: number;
  readonly length: number;
}

/**
 * Reads the pickles of a file from before PyTorch 1.6 (or `_use_new_zipfile_serialization=False`), in order: the magic
 * number, the protocol, the sizes of the system's types, the object, the keys of the storages. The storages follow
 * (`torch/serialization.py`, `_legacy_save`).
 * @returns the object, the keys of the storages in the order of their bytes, and where those begin
 */
export async function readLegacyPickles(
  source: ByteSource,
): Promise<{ value: PickleValue; keys: string[]; end: number }> {
  const magic = await pickleAt(source, 0);
  if (magic.value !== MAGIC) {
    throw unsupported(
      source.name,
      "is a Python pickle, but not one of torch.save",
      "Save it with torch.save",
    );
  }
  const protocol = await pickleAt(source, magic.end);
  if (protocol.value !== PROTOCOL) {
    throw unsupported(
      source.name,
      `is of torch.save's legacy protocol ${printable(String(protocol.value))}, not ${PROTOCOL}`,
    );
  }
  const system = await pickleAt(source, protocol.end);
  if (!(system.value instanceof PickleDict) || system.value.entries.get("little_endian") !== true) {
    throw unsupported(
      source.name,
      "was saved on a big-endian machine",
      "Save it again on a little-endian one",
    );
  }
  const object = await pickleAt(source, system.end);
  const keys = await pickleAt(source, object.end);
  if (!Array.isArray(keys.value)) throw invalidFile(source.name, "has no list of storage keys");
  return { value: object.value, keys: keys.value.map((key) => keyText(source.name, key)), end: keys.end };
}

function keyText(file: string, key: PickleValue): string {
  if (typeof key === "string") return key;
  throw invalidFile(file, "has a storage key that is not a string");
}

/** Reads a pickle of unknown length: first a window, then larger ones until one holds all of it. */
async function pickleAt(source: ByteSource, start: number): Promise<{ value: PickleValue; end: number }> {
  const rest = source.size - start;
  for (let length = FIRST_WINDOW; ; length *= 4) {
    const bytes = await source.read(start, Math.min(length, rest, MAX_PICKLE_BYTES));
    try {
      const { value, end } = readPickle(bytes, source.name, start);
      return { value, end: start + end };
    } catch (error) {
      if (!(error instanceof EndOfPickle) || bytes.length === rest) throw error;
      if (bytes.length === MAX_PICKLE_BYTES) {
        throw invalidFile(
          source.name,
          `its pickle at byte ${start} is longer than ${MAX_PICKLE_BYTES} bytes`,
        );
      }
    }
  }
}

/**
 * Finds the bytes of the storages: for each key in turn, 8 bytes with the number of elements, then the elements.
 * @param storages the storages that tensors refer to, by key
 * @throws ResonantError `invalid_file` for an unknown key, a number that differs from the pickle's, or a file that is cut
 * off
 */
export async function placeLegacyStorages(
  source: ByteSource,
  keys: readonly string[],
  end: number,
  storages: ReadonlyMap<string, PickleStorage>,
): Promise<Map<string, StorageRange>> {
  const places = new Map<string, StorageRange>();
  let at = end;
  for (const key of keys) {
    const where = `${source.name}: storage ${printable(key)}`;
    const storage = storages.get(key);
    if (!storage) throw invalidFile(where, "no tensor refers to it, so that its length is unknown");
    if (places.has(key)) throw invalidFile(where, "is listed twice");
    const header = await source.read(at, 8);
    const count = new DataView(header.buffer, header.byteOffset).getBigInt64(0, true);
    if (count !== BigInt(storage.count)) {
      throw invalidFile(where, `holds ${count} elements, and the pickle says ${storage.count}`);
    }
    const length = storage.count * dtypeSize(storage.dtype);
    if (at + 8 + length > source.size) {
      throw invalidFile(
        where,
        `truncated: it ends at byte ${at + 8 + length}, but the file has only ${source.size}`,
        "Fetch the file again",
      );
    }
    places.set(key, { start: at + 8, length });
    at += 8 + length;
  }
  return places;
}
