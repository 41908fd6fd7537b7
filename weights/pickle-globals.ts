import { type Dtype, MOST_DIMENSIONS } from "./dtype.ts";
import {
  type Callable,
  type GlobalRole,
  PickleDict,
  PickleGlobal,
  PickleStorage,
  PickleTensor,
  PickleTuple,
  type PickleValue,
} from "./pickle-values.ts";
import { invalidFile, printable, unsupported } from "./refuse.ts";

const DTYPES: Record<string, Dtype> = {
  float64: "F64",
  float32: "F32",
  float16: "F16",
  bfloat16: "BF16",
  int64: "I64",
  int32: "I32",
  int16: "I16",
  int8: "I8",
  uint64: "U64",
  uint32: "U32",
  uint16: "U16",
  uint8: "U8",
  bool: "BOOL",
};
const LONGEST_DEVICE = 64;

/** Known as values in a configuration, but not as the type of a tensor. */
const OTHER_DTYPES = ["complex32", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2"];

const STORAGES: Record<string, Dtype> = {
  Double: "F64",
  Float: "F32",
  Half: "F16",
  BFloat16: "BF16",
  Long: "I64",
  Int: "I32",
  Short: "I16",
  Char: "I8",
  Byte: "U8",
  Bool: "BOOL",
  Untyped: "U8", // counts bytes
};

const CALLS: Record<string, Callable> = {
  "collections.OrderedDict": "dict",
  "torch.Size": "tuple",
  "torch.device": "device",
  "torch._utils._rebuild_tensor_v2": "tensor2",
  "torch._utils._rebuild_tensor_v3": "tensor3",
  "torch._utils._rebuild_parameter": "parameter",
  "torch._utils._rebuild_parameter_with_state": "parameter",
};

function allowedNames(): Map<string, PickleGlobal> {
  const roles: [string, GlobalRole][] = [
    ...Object.entries(DTYPES).map(([name, dtype]): [string, GlobalRole] => [
      `torch.${name}`,
      { kind: "dtype", dtype },
    ]),
    ...OTHER_DTYPES.map((name): [string, GlobalRole] => [
      `torch.${name}`,
      { kind: "dtype", dtype: undefined },
    ]),
    ...Object.entries(STORAGES).flatMap(([name, dtype]): [string, GlobalRole][] => [
      [`torch.${name}Storage`, { kind: "storage", dtype }],
      [`torch.storage.${name}Storage`, { kind: "storage", dtype }],
    ]),
    ...Object.entries(CALLS).map(([name, call]): [string, GlobalRole] => [name, { kind: "call", call }]),
  ];
  return new Map(roles.map(([name, role]) => [name, new PickleGlobal(name, role)]));
}

const ALLOWED: ReadonlyMap<string, PickleGlobal> = allowedNames();

/**
 * The record for a Python name, if checkpoints need it. Nothing is ever imported or called.
 * @throws ResonantError `unsupported`, with the full name, for every other name
 */
export function findGlobal(where: string, module: string, name: string): PickleGlobal {
  const found = ALLOWED.get(`${module}.${name}`);
  if (found) return found;
  throw unsupported(
    where,
    `refused: the pickle asks for ${printable(`${module}.${name}`, 200)}, which no checkpoint of tensors needs; ` +
      "nothing was run",
    "If you trust the file, load it in PyTorch and save only its state dict and its plain configuration",
  );
}

/**
 * The result of REDUCE for an allowed name and its arguments.
 * @throws ResonantError `unsupported` if the name may not be called, `invalid_file` for wrong arguments
 */
export function callGlobal(where: string, target: PickleGlobal, args: readonly PickleValue[]): PickleValue {
  if (target.role.kind !== "call") throw unsupported(where, `refused: the pickle calls ${target.name}`);
  const wrong = () => invalidFile(where, `${target.name} is called with arguments it does not take`);
  switch (target.role.call) {
    case "dict":
      return orderedDict(args, wrong);
    case "tuple":
      if (args.length > 1) throw wrong();
      if (args.length === 0) return new PickleTuple([]);
      return new PickleTuple(sequence(args[0], wrong));
    case "device":
      if (args.length > 2 || !args.every(isDevicePart)) throw wrong();
      return args.join(":");
    case "parameter": {
      const [tensor] = args;
      if (!(tensor instanceof PickleTensor) || args.length < 3 || args.length > 4) throw wrong();
      return tensor;
    }
    case "tensor2":
      return rebuildTensor(
        where,
        args.slice(0, 4),
        undefined,
        args[6],
        args.length >= 6 && args.length <= 7,
        wrong,
      );
    case "tensor3":
      return rebuildTensor(
        where,
        args.slice(0, 4),
        args[6],
        args[7],
        args.length >= 7 && args.length <= 8,
        wrong,
      );
  }
}

/** The name of a device, or the number after it. */
const isDevicePart = (part: PickleValue): boolean =>
  typeof part === "number" || (typeof part === "string" && part.length <= LONGEST_DEVICE);

function orderedDict(args: readonly PickleValue[], wrong: () => Error): PickleDict {
  const dict = new PickleDict(true);
  if (args.length > 1) throw wrong();
  for (const pair of args.length === 1 ? sequence(args[0], wrong) : []) {
    const [key, value, ...more] = sequence(pair, wrong);
    if (value === undefined || more.length > 0) throw wrong();
    dict.entries.set(dictKey(key, wrong), value);
  }
  return dict;
}

function sequence(value: PickleValue | undefined, wrong: () => Error): readonly PickleValue[] {
  if (value instanceof PickleTuple) return value.items;
  if (Array.isArray(value)) return value;
  throw wrong();
}

/** Accepts keys that Python can hash and that can be written as a name. */
export function dictKey(key: PickleValue | undefined, wrong: () => Error): PickleValue {
  const plain = (part: PickleValue | undefined) =>
    part === null || (part !== undefined && typeof part !== "object");
  if (key !== undefined && (plain(key) || (key instanceof PickleTuple && key.items.every(plain)))) return key;
  throw wrong();
}

/** `_rebuild_tensor_v2/v3(storage, offset, size, stride, requires_grad, hooks[, dtype][, metadata])`. */
function rebuildTensor(
  where: string,
  [storage, offset, size, stride]: readonly PickleValue[],
  dtype: PickleValue | undefined,
  flags: PickleValue | undefined,
  rightCount: boolean,
  wrong: () => Error,
): PickleTensor {
  if (!rightCount || !(storage instanceof PickleStorage)) throw wrong();
  if (!(size instanceof PickleTuple) || !(stride instanceof PickleTuple)) throw wrong();
  if (flags !== undefined && flags !== null && !(flags instanceof PickleDict && flags.entries.size === 0)) {
    // The conj and neg bits mean that the stored values are not yet those of the tensor.
    throw unsupported(where, "a tensor with a conjugate or negative bit", "Save it after .resolve_neg()");
  }
  const rank = size.items.length;
  if (rank > MOST_DIMENSIONS) {
    throw invalidFile(where, `a tensor of ${rank} dimensions; the most is ${MOST_DIMENSIONS}`);
  }
  if (rank !== stride.items.length) throw wrong();
  const shape = size.items.map((n) => count(n, where, "size"));
  const strides = stride.items.map((n) => count(n, where, "stride"));
  return new PickleTensor(
    storage,
    tensorDtype(where, storage, dtype, wrong),
    count(offset, where, "offset"),
    shape,
    strides,
  );
}

function tensorDtype(
  where: string,
  storage: PickleStorage,
  dtype: PickleValue | undefined,
  wrong: () => Error,
): Dtype {
  if (dtype === undefined) return storage.dtype;
  if (!(dtype instanceof PickleGlobal) || dtype.role.kind !== "dtype") throw wrong();
  if (dtype.role.dtype === undefined) throw unsupported(where, `a tensor of ${dtype.name}`);
  return dtype.role.dtype;
}

/** `('storage', type, key, location, count[, view])`, the only persistent id that torch.save writes for tensors. */
export function findStorage(where: string, id: PickleValue): PickleStorage {
  const wrong = () => invalidFile(where, "a persistent id that is not torch.save's ('storage', …)");
  if (!(id instanceof PickleTuple) || id.items.length < 5 || id.items.length > 6) throw wrong();
  const [tag, type, key, , size, view] = id.items;
  if (tag !== "storage" || !(type instanceof PickleGlobal) || type.role.kind !== "storage") throw wrong();
  if (typeof key !== "string") throw wrong();
  const total = count(size, where, "storage size");
  if (view === undefined || view === null) return new PickleStorage(type.role.dtype, key, total, undefined);
  if (!(view instanceof PickleTuple) || view.items.length !== 3) throw wrong();
  const window = {
    offset: count(view.items[1], where, "view offset"),
    count: count(view.items[2], where, "view size"),
  };
  if (window.offset + window.count > total) {
    throw invalidFile(
      where,
      `a view of ${window.count} elements at ${window.offset} leaves its storage of ${total}`,
    );
  }
  return new PickleStorage(type.role.dtype, key, total, window);
}

function count(value: PickleValue | undefined, where: string, what: string): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  const shown = typeof value === "number" || typeof value === "bigint" ? ` (${value})` : "";
  throw invalidFile(where, `a tensor's ${what}${shown} is not a whole number from 0 to 2^53`);
}
