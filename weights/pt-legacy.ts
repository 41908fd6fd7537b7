import type { ByteSource } from "./byte-source.ts";
import { dtypeSize } from "./dtype.ts";
import { readPickle } from "./pickle.ts";
import { PickleDict, type PickleStorage, type PickleValue } from "./pickle-values.ts";
import { invalidFile, printable, unsupported } from "./refuse.ts";

/** `torch.serialization.MAGIC_NUMBER`, and its only protocol version. */
const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL = 1001;

/** The bytes of a storage in the file: where they begin, and how many they are. */
export interface StorageRange {
  readonly start: number;
  readonly length: number;
}

/** What the pickles of a legacy file say. */
export interface LegacyPickles {
  /** The keys of the storages in the order of their bytes, and where those begin. */
  readonly keys: readonly string[];
  readonly end: number;
}

/**
 * Reads the pickles of a file from before PyTorch 1.6 (or `_use_new_zipfile_serialization=False`), in order: the magic
 * number, the protocol, the sizes of the system's types, the object, the keys of the storages. The storages follow
 * (`torch/serialization.py`, `_legacy_save`).
 * @param bytes the file's first bytes, at least up to the storages
 * @throws EndOfPickle if the bytes end first
 */
export function readLegacyPickles(bytes: Uint8Array, file: string): LegacyPickles & { value: PickleValue } {
  let at = 0;
  const next = (): PickleValue => {
    const { value, end } = readPickle(bytes.subarray(at), file, at);
    at += end;
    return value;
  };
  if (next() !== MAGIC) {
    throw unsupported(file, "is a Python pickle, but not one of torch.save", "Save it with torch.save");
  }
  const protocol = next();
  if (protocol !== PROTOCOL) {
    throw unsupported(
      file,
      `is of torch.save's legacy protocol ${printable(String(protocol))}, not ${PROTOCOL}`,
    );
  }
  const system = next();
  if (!(system instanceof PickleDict) || system.entries.get("little_endian") !== true) {
    throw unsupported(file, "was saved on a big-endian machine", "Save it again on a little-endian one");
  }
  const value = next();
  const keys = next();
  if (!Array.isArray(keys)) throw invalidFile(file, "has no list of storage keys");
  return { value, keys: keys.map((key) => keyText(file, key)), end: at };
}

function keyText(file: string, key: PickleValue): string {
  if (typeof key === "string") return key;
  throw invalidFile(file, "has a storage key that is not a string");
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
