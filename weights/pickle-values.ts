import type { Dtype } from "./dtype.ts";

/** A value in a checkpoint's pickle. Lists are arrays, integers past 2^53 are bigints. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | PickleTuple
  | PickleDict
  | PickleSet
  | PickleGlobal
  | PickleStorage
  | PickleTensor;

export class PickleTuple {
  readonly items: readonly PickleValue[];
  constructor(items: readonly PickleValue[]) {
    this.items = items;
  }
}

export class PickleDict {
  /** A Map, so that a key named `__proto__` is a key like any other. */
  readonly entries = new Map<PickleValue, PickleValue>();
  /** A `collections.OrderedDict`, the only object whose BUILD is accepted. */
  readonly ordered: boolean;
  constructor(ordered: boolean) {
    this.ordered = ordered;
  }
}

export class PickleSet {
  readonly items = new Set<PickleValue>();
}

/** One of the few Python names that a checkpoint may refer to; it is only this record, with nothing behind it. */
export class PickleGlobal {
  /** Its Python name, such as `torch._utils._rebuild_tensor_v2`. */
  readonly name: string;
  readonly role: GlobalRole;
  constructor(name: string, role: GlobalRole) {
    this.name = name;
    this.role = role;
  }
}

export type GlobalRole =
  | { readonly kind: "storage"; readonly dtype: Dtype }
  | { readonly kind: "dtype"; readonly dtype: Dtype | undefined }
  | { readonly kind: "call"; readonly call: Callable };

/** What REDUCE may do with it; each kind makes one of the records here. */
export type Callable = "dict" | "tuple" | "device" | "tensor2" | "tensor3" | "parameter";

/** A run of elements elsewhere in the file, named by its key. */
export class PickleStorage {
  readonly dtype: Dtype;
  readonly key: string;
  /** Number of elements of the whole storage. */
  readonly count: number;
  /** The view into that storage in the legacy format, in elements. */
  readonly view: { readonly offset: number; readonly count: number } | undefined;
  constructor(dtype: Dtype, key: string, count: number, view: PickleStorage["view"]) {
    this.dtype = dtype;
    this.key = key;
    this.count = count;
    this.view = view;
  }
}

/** A strided window on a storage; offset and strides count elements of the tensor's dtype. */
export class PickleTensor {
  readonly storage: PickleStorage;
  readonly dtype: Dtype;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  constructor(
    storage: PickleStorage,
    dtype: Dtype,
    offset: number,
    shape: readonly number[],
    strides: readonly number[],
  ) {
    this.storage = storage;
    this.dtype = dtype;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
  }
}
