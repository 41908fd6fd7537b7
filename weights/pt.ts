import { ResonantError } from "../common/errors.ts";
import { Apart, PastLimit } from "./apart/apart.ts";
import type { StartThread } from "./apart/thread.ts";
import type { ByteSource } from "./byte-source.ts";
import { dtypeSize } from "./dtype.ts";
import type { PickleStorage, PickleTensor } from "./pickle-values.ts";
import { placeLegacyStorages } from "./pt-legacy.ts";
import type { PickleBytes, ReadPickles } from "./pt-pickles.ts";
import type { CheckpointTree } from "./pt-tree.ts";
import { invalidFile, printable, unsupported } from "./refuse.ts";
import { checkView, readView, type StridedView } from "./strided.ts";
import { type TensorFile, type TensorInfo, tensorFile } from "./tensor-file.ts";
import { readZipDirectory, type ZipEntry, zipDataOffset } from "./zip.ts";

const MAX_PICKLE_BYTES = 64 * 2 ** 20;
const FIRST_WINDOW = 64 * 1024;
/** The heap holds what the pickle's own budget allows, and its copy on the way back. */
const LIMITS = { milliseconds: 3000, heapBytes: 320 * 2 ** 20 };
const MILLISECONDS_PER_BYTE = 0.001;

/** A tensor with the place of its storage, which is found when it is first read. */
interface PtTensor extends TensorInfo, StridedView {
  storageStart(): Promise<number>;
}

/** Where the bytes of a storage begin, and their number. */
interface Storage {
  readonly length: number;
  start(): Promise<number>;
}

/**
 * Opens what `torch.save` writes today: a zip of `NAME/data.pkl` and the storages `NAME/data/KEY`, uncompressed. The pickle
 * is read as data; nothing in it is run.
 * @throws ResonantError `unsupported` for a pickle that asks for anything but tensors and plain values, a big-endian file,
 * TorchScript, or compressed entries; `invalid_file` if it is truncated or malformed
 */
export async function openPtZip(source: ByteSource, start: StartThread): Promise<TensorFile> {
  const entries = await readZipDirectory(source);
  const folder = findArchive(source.name, entries);
  await checkByteOrder(source, entries.get(`${folder}byteorder`));
  const tree = await readZipPickle(source, entries.get(`${folder}data.pkl`)!, start);
  return open(source, tree, async (storage) => {
    const where = `${source.name}: storage ${printable(storage.key)}`;
    const entry = entries.get(`${folder}data/${storage.key}`);
    if (!entry) throw invalidFile(where, `the zip has no ${printable(`${folder}data/${storage.key}`)}`);
    const length = storage.count * dtypeSize(storage.dtype);
    if (entry.size !== length)
      throw invalidFile(where, `has ${entry.size} bytes, and the pickle says ${length}`);
    return { length, start: () => zipDataOffset(source, entry) };
  });
}

/**
 * Opens what `torch.save` wrote before PyTorch 1.6: pickles, then the storages' bytes.
 *
 * @throws ResonantError as `openPtZip`
 */
export async function openPtLegacy(source: ByteSource, start: StartThread): Promise<TensorFile> {
  const { tree, keys, end } = await readLegacy(source, start);
  const storages = new Map<string, PickleStorage>();
  for (const { storage } of tree.tensors.values()) {
    const known = storages.get(storage.key);
    if (known && (known.dtype !== storage.dtype || known.count !== storage.count)) {
      throw invalidFile(
        `${source.name}: storage ${printable(storage.key)}`,
        "is said to be of two types or lengths",
      );
    }
    storages.set(storage.key, storage);
  }
  const places = await placeLegacyStorages(source, keys, end, storages);
  return open(source, tree, async ({ key, dtype, view }) => {
    const place = places.get(key);
    if (!place) throw invalidFile(`${source.name}: storage ${printable(key)}`, "is not in the file");
    const size = dtypeSize(dtype);
    return {
      length: view ? view.count * size : place.length,
      start: async () => place.start + (view ? view.offset * size : 0),
    };
  });
}

async function open(
  source: ByteSource,
  tree: CheckpointTree,
  findStorage: (storage: PickleStorage) => Promise<Storage>,
): Promise<TensorFile> {
  const tensors = new Map<string, PtTensor>();
  for (const [name, tensor] of tree.tensors) {
    const { length, start } = await findStorage(tensor.storage);
    checkView(`${source.name}: tensor ${printable(name)}`, viewOf(tensor), length);
    tensors.set(name, { name, ...viewOf(tensor), storageStart: start });
  }
  return tensorFile(
    { name: source.name, format: "pt", metadata: bare(tree.metadata) },
    tensors,
    async (tensor, from, to) => readView(source, await tensor.storageStart(), tensor, from, to),
  );
}

function viewOf({ dtype, shape, strides, offset }: PickleTensor): StridedView {
  return { dtype, shape, strides, offset };
}

/** The archive's only folder, with a slash: the name of the file when it was saved. */
function findArchive(file: string, entries: ReadonlyMap<string, ZipEntry>): string {
  const pickles = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  const folder = pickles[0]?.slice(0, -"data.pkl".length);
  if (folder === undefined || pickles.length > 1) {
    throw invalidFile(file, `is a zip, but not of torch.save: ${pickles.length || "no"} data.pkl in it`);
  }
  if (entries.has(`${folder}constants.pkl`)) {
    throw unsupported(file, "is a TorchScript program", "Save the module's state_dict with torch.save");
  }
  return folder;
}

async function checkByteOrder(source: ByteSource, entry: ZipEntry | undefined): Promise<void> {
  if (!entry) return; // not written before PyTorch 2.1
  const where = `${source.name}: ${printable(entry.name)}`;
  if (entry.size > 16) throw invalidFile(where, `has ${entry.size} bytes, too many for a byte order`);
  const order = new TextDecoder().decode(await source.read(await zipDataOffset(source, entry), entry.size));
  if (order === "little") return;
  throw unsupported(
    where,
    `the byte order is ${printable(order)}`,
    "Save it again on a little-endian machine",
  );
}

async function readZipPickle(
  source: ByteSource,
  entry: ZipEntry,
  start: StartThread,
): Promise<CheckpointTree> {
  const where = `${source.name}: ${printable(entry.name)}`;
  const at = await zipDataOffset(source, entry);
  if (entry.size > MAX_PICKLE_BYTES) {
    throw invalidFile(where, `has ${entry.size} bytes; the most is ${MAX_PICKLE_BYTES}`);
  }
  const bytes = await source.read(at, entry.size);
  const read = await reading(source.name, start, (pickles) =>
    pickles({ kind: "zip", bytes, file: source.name, where }),
  );
  if ("tree" in read) return read.tree;
  throw invalidFile(where, read.truncated);
}

/** Reads the pickles at the beginning of a legacy file, whose length is unknown: of a window, then of larger ones. */
async function readLegacy(source: ByteSource, start: StartThread) {
  const { name, size } = source;
  return reading(name, start, async (pickles) => {
    for (let length = FIRST_WINDOW; ; length *= 4) {
      const bytes = await source.read(0, Math.min(length, size, MAX_PICKLE_BYTES));
      const read = await pickles({ kind: "legacy", bytes, file: name, where: name });
      if ("tree" in read) return { tree: read.tree, keys: read.keys!, end: read.end! };
      if (bytes.length === size) throw new ResonantError("invalid_file", read.truncated);
      if (bytes.length === MAX_PICKLE_BYTES) {
        throw invalidFile(name, `its pickles are longer than ${MAX_PICKLE_BYTES} bytes`);
      }
    }
  });
}

/** Uses a thread that reads pickles, and ends it. @throws ResonantError `invalid_file` if it passes a limit */
async function reading<T>(
  file: string,
  start: StartThread,
  use: (pickles: (input: PickleBytes) => Promise<ReadPickles>) => Promise<T>,
): Promise<T> {
  const thread = new Apart<PickleBytes, ReadPickles>(start, "pickles", undefined, LIMITS);
  try {
    return await use((input) => thread.call(input, MILLISECONDS_PER_BYTE * input.bytes.length));
  } catch (error) {
    if (!(error instanceof PastLimit)) throw error;
    throw invalidFile(file, `reading its pickle ${error.message}`, "Use another checkpoint", error);
  } finally {
    thread.close();
  }
}

/** Without prototypes again, which a message between threads gave it: `__proto__` and `constructor` are keys like any other. */
function bare<T>(value: T): T {
  if (Array.isArray(value)) return value.map(bare) as T;
  if (typeof value !== "object" || value === null) return value;
  const copy = Object.create(null);
  for (const [key, each] of Object.entries(value)) copy[key] = bare(each);
  return copy;
}
