import { MEMO_BYTES, PickleBudget } from "./pickle-budget.ts";
import { PickleCursor } from "./pickle-cursor.ts";
import { callGlobal, dictKey, findGlobal, findStorage } from "./pickle-globals.ts";
import { Op } from "./pickle-opcodes.ts";
import {
  PickleDict,
  PickleGlobal,
  PickleSet,
  PickleTensor,
  PickleTuple,
  type PickleValue,
} from "./pickle-values.ts";
import { invalidFile, printable, unsupported } from "./refuse.ts";

/**
 * Bounds far above what any checkpoint of tensors needs (about 25 opcodes for each), and low enough to do no harm. What it
 * makes is counted in bytes, by the budget.
 */
const MAX_OPCODES = 8_000_000;
const MAX_STACK = 1_000_000;
const MAX_INTEGER_BYTES = 16;

/**
 * Reads one pickle, protocols 0 to 5, as data. Where Python would import, call or build something, this refuses, except for
 * the few names in `pickle-globals.ts`, which make plain records. The opcodes are those of CPython's `Lib/pickletools.py`.
 * @param bytes from the pickle's first opcode on; may continue after its STOP
 * @param file the name of the file in errors
 * @param base the byte of the file where `bytes` begins, so that errors give the position of the opcode in the file
 * @returns the value, and the position after STOP
 * @throws ResonantError `unsupported` for a name or opcode that is refused, `invalid_file` if it is malformed or over the
 * bounds; `EndOfPickle` if `bytes` end first
 */
export function readPickle(bytes: Uint8Array, file: string, base = 0): { value: PickleValue; end: number } {
  return new Unpickler(new PickleCursor(bytes, file, base), bytes.length).run();
}

class Unpickler {
  readonly #in: PickleCursor;
  readonly #stack: PickleValue[] = [];
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, PickleValue>();
  readonly #budget: PickleBudget;

  constructor(cursor: PickleCursor, length: number) {
    this.#in = cursor;
    this.#budget = new PickleBudget(length, (message) => this.#malformed(message));
  }

  run(): { value: PickleValue; end: number } {
    for (let opcodes = 0; opcodes < MAX_OPCODES; opcodes++) {
      const op = this.#in.opcode();
      if (op === Op.STOP) {
        const value = this.#pop();
        if (this.#stack.length > 0 || this.#marks.length > 0)
          throw this.#malformed("it ends with values left over");
        return { value, end: this.#in.position };
      }
      const pushed = this.#step(op);
      if (pushed !== undefined) this.#stack.push(pushed);
      if (this.#stack.length > MAX_STACK) throw this.#malformed(`its stack passes ${MAX_STACK} values`);
    }
    throw this.#malformed(`it has more than ${MAX_OPCODES} opcodes`);
  }

  /** Executes one opcode, and returns what it pushes, if anything. */
  #step(op: number): PickleValue | undefined {
    const input = this.#in;
    switch (op) {
      case Op.PROTO:
        return this.#protocol(input.u8());
      case Op.FRAME:
        input.u64(); // frames are only a hint for readers of streams
        return undefined;

      case Op.NONE:
        return null;
      case Op.NEWTRUE:
        return true;
      case Op.NEWFALSE:
        return false;
      case Op.BININT:
        return input.i32();
      case Op.BININT1:
        return input.u8();
      case Op.BININT2:
        return input.u16();
      case Op.LONG1:
        return this.#made(this.#integer(input.u8()));
      case Op.LONG4:
        return this.#made(this.#integer(input.u32()));
      case Op.INT:
      case Op.LONG:
        return this.#made(this.#integerText(input.line(), op));
      case Op.BINFLOAT:
        return input.f64();
      case Op.FLOAT:
        return this.#floatText(input.line());

      case Op.SHORT_BINUNICODE:
      case Op.SHORT_BINSTRING:
        return this.#made(input.text(input.u8()));
      case Op.BINUNICODE:
      case Op.BINSTRING:
        return this.#made(input.text(input.u32()));
      case Op.BINUNICODE8:
        return this.#made(input.text(input.u64()));
      case Op.UNICODE:
        return this.#made(unescaped(input.line()));
      case Op.STRING:
        return this.#made(this.#quoted(input.line()));
      case Op.SHORT_BINBYTES:
        return this.#made(input.bytes(input.u8()));
      case Op.BINBYTES:
        return this.#made(input.bytes(input.u32()));
      case Op.BINBYTES8:
        return this.#made(input.bytes(input.u64()));

      case Op.EMPTY_TUPLE:
        return this.#made(new PickleTuple([]));
      case Op.TUPLE1:
      case Op.TUPLE2:
      case Op.TUPLE3:
        return this.#made(new PickleTuple(this.#popMany(op - Op.TUPLE1 + 1)));
      case Op.TUPLE:
        return this.#made(new PickleTuple(this.#popMark()));
      case Op.EMPTY_LIST:
        return this.#made([]);
      case Op.LIST:
        return this.#made(this.#popMark());
      case Op.APPEND:
        return this.#append([this.#pop()]);
      case Op.APPENDS:
        return this.#append(this.#popMark());
      case Op.EMPTY_DICT:
        return this.#made(new PickleDict(false));
      case Op.DICT: {
        const pairs = this.#popMark();
        this.#stack.push(this.#made(new PickleDict(false)));
        return this.#setItems(pairs);
      }
      case Op.SETITEM:
        return this.#setItems(this.#popMany(2));
      case Op.SETITEMS:
        return this.#setItems(this.#popMark());
      case Op.EMPTY_SET:
        return this.#made(new PickleSet());
      case Op.ADDITEMS:
        return this.#addItems(this.#popMark());
      case Op.FROZENSET: {
        const items = this.#popMark();
        this.#stack.push(this.#made(new PickleSet()));
        return this.#addItems(items);
      }

      case Op.MARK:
        this.#marks.push(this.#stack.length);
        if (this.#marks.length > MAX_STACK) throw this.#malformed("too many marks");
        return undefined;
      case Op.POP:
        if (this.#marks.at(-1) === this.#stack.length) this.#marks.pop();
        else this.#pop();
        return undefined;
      case Op.POP_MARK:
        this.#popMark();
        return undefined;
      case Op.DUP:
        return this.#top();
      case Op.PUT:
        return this.#remember(this.#index(input.line()));
      case Op.BINPUT:
        return this.#remember(input.u8());
      case Op.LONG_BINPUT:
        return this.#remember(input.u32());
      case Op.MEMOIZE:
        return this.#remember(this.#memo.size);
      case Op.GET:
        return this.#recall(this.#index(input.line()));
      case Op.BINGET:
        return this.#recall(input.u8());
      case Op.LONG_BINGET:
        return this.#recall(input.u32());

      case Op.GLOBAL:
        return findGlobal(input.where, input.line(), input.line());
      case Op.STACK_GLOBAL: {
        const [module, name] = this.#popMany(2);
        if (typeof module !== "string" || typeof name !== "string")
          throw this.#malformed("a name that is no string");
        return findGlobal(input.where, module, name);
      }
      case Op.REDUCE: {
        const [target, args] = this.#popMany(2);
        if (!(target instanceof PickleGlobal)) throw this.#refused("REDUCE", target);
        if (!(args instanceof PickleTuple)) throw this.#malformed(`${target.name} is called without a tuple`);
        return this.#made(callGlobal(input.where, target, args.items));
      }
      case Op.BUILD: {
        this.#pop(); // attributes of an OrderedDict: `_metadata`, the versions of PyTorch's modules
        const target = this.#top();
        if (!(target instanceof PickleDict && target.ordered)) throw this.#refused("BUILD", target);
        return undefined;
      }
      case Op.BINPERSID:
        return this.#made(findStorage(input.where, this.#pop()));

      case Op.INST: {
        const target = findGlobal(input.where, input.line(), input.line());
        throw this.#refused("INST", target);
      }
      case Op.OBJ:
        throw this.#refused("OBJ", this.#popMark()[0]);
      case Op.NEWOBJ:
        throw this.#refused("NEWOBJ", this.#popMany(2)[0]);
      case Op.NEWOBJ_EX:
        throw this.#refused("NEWOBJ_EX", this.#popMany(3)[0]);
      case Op.EXT1:
        throw this.#extension(input.u8());
      case Op.EXT2:
        throw this.#extension(input.u16());
      case Op.EXT4:
        throw this.#extension(input.u32());
      case Op.PERSID:
        throw unsupported(input.where, `refused: the pickle asks for PERSID ${printable(input.line())}`);
      default:
        throw unsupported(
          input.where,
          `the pickle has opcode 0x${op.toString(16)}, which torch.save does not write`,
        );
    }
  }

  #protocol(version: number): undefined {
    if (version > 5) throw unsupported(this.#in.where, `pickle protocol ${version} is newer than 5`);
  }

  /** Counts the memory of a new value. */
  #made<T extends PickleValue>(value: T): T {
    this.#budget.made(value);
    return value;
  }

  #top(): PickleValue {
    return this.#stack[this.#reach(1)]!;
  }

  #pop(): PickleValue {
    const value = this.#top();
    this.#stack.pop();
    return value;
  }

  #popMany(count: number): PickleValue[] {
    return this.#stack.splice(this.#reach(count));
  }

  /** The stack index of the `count`-th value from the top, all of them above the last mark. */
  #reach(count: number): number {
    const index = this.#stack.length - count;
    if (index < (this.#marks.at(-1) ?? 0))
      throw this.#malformed("it takes more from its stack than the stack holds");
    return index;
  }

  #popMark(): PickleValue[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw this.#malformed("it goes back to a mark that does not exist");
    return this.#stack.splice(mark);
  }

  #remember(index: number): undefined {
    this.#budget.spend(MEMO_BYTES);
    this.#memo.set(index, this.#top());
  }

  #recall(index: number): PickleValue {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.#malformed(`it recalls memo ${index}, which was never set`);
    return value;
  }

  #append(items: PickleValue[]): undefined {
    const list = this.#top();
    if (!Array.isArray(list)) throw this.#refused("APPEND", list);
    this.#budget.added(items.length);
    for (const item of items) list.push(item);
  }

  #setItems(pairs: PickleValue[]): undefined {
    const dict = this.#top();
    if (!(dict instanceof PickleDict)) throw this.#refused("SETITEM", dict);
    if (pairs.length % 2 !== 0) throw this.#malformed("a key without a value");
    this.#budget.added(pairs.length / 2);
    for (let i = 0; i < pairs.length; i += 2) dict.entries.set(this.#key(pairs[i]), pairs[i + 1]!);
  }

  #addItems(items: PickleValue[]): undefined {
    const set = this.#top();
    if (!(set instanceof PickleSet)) throw this.#refused("ADDITEMS", set);
    this.#budget.added(items.length);
    for (const item of items) set.items.add(this.#key(item));
  }

  #key(value: PickleValue | undefined): PickleValue {
    return dictKey(value, () => this.#malformed(`a key that is ${describe(value)}`));
  }

  #integer(length: number): number | bigint {
    if (length > MAX_INTEGER_BYTES) {
      throw unsupported(this.#in.where, `an integer of ${length} bytes; the most is ${MAX_INTEGER_BYTES}`);
    }
    let value = 0n;
    const bytes = this.#in.bytes(length);
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
    return narrow(BigInt.asIntN(8 * length, value));
  }

  #integerText(line: string, op: number): number | bigint | boolean {
    if (op === Op.INT && line === "00") return false;
    if (op === Op.INT && line === "01") return true;
    const digits = op === Op.LONG && line.endsWith("L") ? line.slice(0, -1) : line;
    if (!/^-?\d{1,40}$/.test(digits)) throw this.#malformed(`${printable(line, 50)} is not an integer`);
    return narrow(BigInt(digits));
  }

  #floatText(line: string): number {
    const words: Record<string, number> = { nan: NaN, inf: Infinity, "-inf": -Infinity };
    const value = Object.hasOwn(words, line) ? words[line]! : Number(line);
    if (line.trim() === "" || (Number.isNaN(value) && line !== "nan")) {
      throw this.#malformed(`${printable(line, 50)} is not a number`);
    }
    return value;
  }

  #quoted(line: string): string {
    const quote = line[0];
    if (line.length < 2 || (quote !== "'" && quote !== '"') || !line.endsWith(quote)) {
      throw this.#malformed(`${printable(line, 50)} is not a quoted string`);
    }
    if (line.includes("\\")) {
      throw unsupported(
        this.#in.where,
        "a quoted string with escapes",
        "Save it with pickle protocol 2 or later",
      );
    }
    return line.slice(1, -1);
  }

  #index(line: string): number {
    if (!/^\d{1,9}$/.test(line)) throw this.#malformed(`${printable(line, 50)} is not a memo index`);
    return Number(line);
  }

  #malformed(message: string) {
    return invalidFile(this.#in.where, `the pickle is malformed: ${message}`);
  }

  #refused(opcode: string, target: PickleValue | undefined) {
    return unsupported(
      this.#in.where,
      `refused: the pickle asks for ${opcode} of ${describe(target)}; nothing was run`,
    );
  }

  #extension(code: number) {
    return unsupported(
      this.#in.where,
      `refused: the pickle asks for copyreg extension ${code}; nothing was run`,
    );
  }
}

/** The text of a line of the opcode UNICODE. */
function unescaped(line: string): string {
  return line.replace(/\\u([0-9a-f]{4})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
}

function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function describe(value: PickleValue | undefined): string {
  if (value instanceof PickleGlobal) return value.name;
  if (value === null || value === undefined) return "None";
  if (Array.isArray(value)) return "a list";
  if (value instanceof PickleTuple) return "a tuple";
  if (value instanceof PickleDict) return value.ordered ? "an OrderedDict" : "a dict";
  if (value instanceof PickleSet) return "a set";
  if (value instanceof PickleTensor) return "a tensor";
  if (typeof value === "object") return value instanceof Uint8Array ? "bytes" : "a storage";
  return `${typeof value} ${printable(String(value), 50)}`;
}
