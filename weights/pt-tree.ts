import {
  PickleDict,
  PickleGlobal,
  type PickleSet,
  PickleStorage,
  PickleTensor,
  PickleTuple,
  type PickleValue,
} from "./pickle-values.ts";
import { invalidFile, printable } from "./refuse.ts";

/** Bounds on the size of a value with shared references: a few bytes can say "twice the last" over and over. */
const MAX_NODES = 1_000_000;
const MAX_CHARACTERS = 2 ** 25;
const MAX_DEPTH = 100;
const MAX_NAME = 4096;

/** A checkpoint's value, divided into its tensors and the plain rest. */
export interface CheckpointTree {
  /** Tensors by flattened name: keys and list indices joined with dots, such as `afrb_adapters.0.alpha`. */
  readonly tensors: ReadonlyMap<string, PickleTensor>;
  readonly metadata: Readonly<Record<string, unknown>>;
}

/**
 * Flattens a checkpoint. A single tensor is named `tensor`; a single plain value is in the metadata as `value`. In the
 * metadata, integers past 2^53 are decimal strings, bytes are lists of numbers, and a tensor in a list is null.
 * @throws ResonantError `invalid_file` if two things have one name, or the value is cyclic or nested too deeply
 */
export function flattenCheckpoint(file: string, root: PickleValue): CheckpointTree {
  const flattener = new Flattener(file);
  if (root instanceof PickleTensor) {
    flattener.walk(new PickleTuple([root]), "tensor");
    return { tensors: new Map([["tensor", root]]), metadata: record() };
  }
  const plain = flattener.walk(root, "");
  const metadata = record();
  if (Array.isArray(plain) || (plain !== undefined && !isRecord(plain))) metadata.value = plain;
  else if (isRecord(plain)) Object.assign(metadata, plain);
  return { tensors: flattener.tensors, metadata };
}

class Flattener {
  readonly tensors = new Map<string, PickleTensor>();
  readonly #file: string;
  readonly #path = new Set<PickleValue>();
  #nodes = 0;
  #characters = 0;

  constructor(file: string) {
    this.#file = file;
  }

  /** Collects the tensors under `value`, and returns the rest; undefined if nothing is left. */
  walk(value: PickleValue, name: string): unknown {
    this.#spend(name, name.length);
    if (value instanceof PickleTensor) return this.#addTensor(name, value);
    if (value instanceof PickleStorage)
      throw invalidFile(this.#where(name), "there is a storage where a value should be");
    if (value instanceof PickleGlobal) return value.name;
    if (typeof value === "string") {
      this.#spend(name, value.length);
      return value;
    }
    if (typeof value === "bigint") return value.toString();
    if (typeof value !== "object" || value === null) return value;
    if (value instanceof Uint8Array) {
      this.#spend(name, 8 * value.length); // as a list of numbers
      return Array.from(value);
    }
    if (this.#path.has(value)) throw invalidFile(this.#where(name), "holds itself");
    if (this.#path.size >= MAX_DEPTH)
      throw invalidFile(this.#where(name), `is nested deeper than ${MAX_DEPTH}`);
    this.#path.add(value);
    const rest =
      value instanceof PickleDict ? this.#walkDict(value, name) : this.#walkList(itemsOf(value), name);
    this.#path.delete(value);
    return rest;
  }

  #walkDict(dict: PickleDict, name: string): Record<string, unknown> | undefined {
    const rest = record();
    const keys = new Set<string>();
    let left = dict.entries.size === 0;
    for (const [key, value] of dict.entries) {
      const text = this.#keyText(key, name);
      if (keys.has(text)) throw invalidFile(this.#where(name), `has two keys that read ${printable(text)}`);
      keys.add(text);
      const plain = this.walk(value, join(name, text));
      if (plain === undefined) continue;
      rest[text] = plain;
      left = true;
    }
    return left ? rest : undefined;
  }

  #keyText(key: PickleValue, name: string): string {
    const parts = key instanceof PickleTuple ? key.items : [key];
    // Counted before they are joined: a key may name one long string many times.
    const length = parts.reduce<number>((sum, part) => sum + (typeof part === "string" ? part.length : 1), 0);
    if (length > MAX_NAME) throw invalidFile(this.#where(name), `has a key of ${length} characters`);
    return parts.map(String).join(",");
  }

  #walkList(items: readonly PickleValue[], name: string): unknown[] | undefined {
    const rest = items.map((item, i) => this.walk(item, join(name, String(i))));
    if (rest.length > 0 && rest.every((item) => item === undefined)) return undefined;
    return rest.map((item) => (item === undefined ? null : item));
  }

  #addTensor(name: string, tensor: PickleTensor): undefined {
    if (this.tensors.has(name)) throw invalidFile(this.#where(name), "two tensors have this name");
    this.tensors.set(name, tensor);
  }

  #spend(name: string, characters: number): void {
    this.#characters += characters;
    if (name.length > MAX_NAME)
      throw invalidFile(this.#where(name), `has a name of ${name.length} characters`);
    if (++this.#nodes > MAX_NODES || this.#characters > MAX_CHARACTERS) {
      throw invalidFile(
        this.#file,
        `expands to more than ${MAX_NODES} values or ${MAX_CHARACTERS} characters`,
      );
    }
  }

  #where(name: string): string {
    return `${this.#file}: ${name === "" ? "the checkpoint" : printable(name)}`;
  }
}

function itemsOf(value: PickleValue[] | PickleTuple | PickleSet): readonly PickleValue[] {
  if (Array.isArray(value)) return value;
  return value instanceof PickleTuple ? value.items : [...value.items];
}

function join(prefix: string, key: string): string {
  return prefix === "" ? key : `${prefix}.${key}`;
}

/** Without a prototype, so that `__proto__` and `constructor` are keys like any other. */
function record(): Record<string, unknown> {
  return Object.create(null);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
