/** Assembles pickles and the files around them by hand, for tests; the result need not be valid. */
import { zipSync } from "fflate";

const encoder = new TextEncoder();

type Part = string | number[] | Uint8Array;

/** Strings become Latin-1, lists become bytes. */
export function bytesOf(...parts: Part[]): Uint8Array {
  const arrays = parts.map((part) =>
    typeof part === "string" ? Uint8Array.from(part, (c) => c.charCodeAt(0)) : Uint8Array.from(part),
  );
  const out = new Uint8Array(arrays.reduce((sum, array) => sum + array.length, 0));
  let at = 0;
  for (const array of arrays) {
    out.set(array, at);
    at += array.length;
  }
  return out;
}

export function u32(value: number): number[] {
  return [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24];
}

export function int64(value: number): Uint8Array {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigInt64(0, BigInt(value), true);
  return out;
}

/** BINUNICODE. */
export function text(value: string): Uint8Array {
  const utf8 = encoder.encode(value);
  return bytesOf("X", u32(utf8.length), utf8);
}

/** LONG1 of 8 bytes. */
export function integer(value: number): Uint8Array {
  return bytesOf([0x8a, 8], int64(value));
}

export function tuple(...items: Part[]): Uint8Array {
  return bytesOf("(", ...items, "t");
}

export function dict(...pairs: [string, Part][]): Uint8Array {
  return bytesOf("}(", ...pairs.flatMap(([key, value]) => [text(key), value]), "u");
}

export function protocol2(...parts: Part[]): Uint8Array {
  return bytesOf([0x80, 2], ...parts, ".");
}

/** A tensor on the storage `key`. */
export function tensor(
  key: string,
  storageCount: number,
  shape: number[],
  strides: number[],
  offset = 0,
  storage = "FloatStorage",
): Uint8Array {
  const id = bytesOf(
    tuple(text("storage"), `ctorch\n${storage}\n`, text(key), text("cpu"), integer(storageCount)),
    "Q",
  );
  return bytesOf(
    "ctorch._utils\n_rebuild_tensor_v2\n",
    tuple(id, integer(offset), tuple(...shape.map(integer)), tuple(...strides.map(integer)), [0x89], "}"),
    "R",
  );
}

/** A file as today's torch.save lays it out. */
export function zipFile(
  pickle: Uint8Array,
  storages: Record<string, Uint8Array> = {},
  extra: Record<string, Uint8Array> = {},
  level: 0 | 9 = 0,
): Uint8Array {
  const files = Object.entries(storages).map(([key, bytes]) => [`hand/data/${key}`, bytes] as const);
  return zipSync({ "hand/data.pkl": pickle, ...Object.fromEntries(files), ...extra }, { level });
}

/** A file as torch.save laid it out before 1.6. */
export function legacyFile(pickle: Uint8Array, storages: [string, number, Uint8Array][] = []): Uint8Array {
  return bytesOf(
    protocol2([0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19]),
    protocol2("M", [0xe9, 0x03]),
    protocol2(dict(["little_endian", [0x88]])),
    pickle,
    protocol2("](", ...storages.map(([key]) => text(key)), "e"),
    ...storages.flatMap(([, count, bytes]) => [int64(count), bytes]),
  );
}

/** A small seeded generator (mulberry32), uniform in [0, 1). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
