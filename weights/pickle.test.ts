import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ResonantError } from "../common/errors.ts";
import { readPickle } from "./pickle.ts";
import { PickleDict, PickleTuple, type PickleValue } from "./pickle-values.ts";
import { openBytes, refusal } from "./testing/fixtures.ts";
import {
  bytesOf,
  dict,
  legacyFile,
  protocol2,
  text,
  tuple,
  u32,
  zipFile,
} from "./testing/pickle-assembler.ts";

const PROOF = join(tmpdir(), `resonant-pickle-proof-${process.pid}`);
const PAYLOAD = `touch ${PROOF}`;

function read(...parts: Parameters<typeof bytesOf>): PickleValue {
  return readPickle(bytesOf(...parts), "hand.pkl").value;
}

function refused(...parts: Parameters<typeof bytesOf>): ResonantError {
  try {
    read(...parts);
  } catch (error) {
    expect(error).toBeInstanceOf(ResonantError);
    return error as ResonantError;
  }
  return expect.fail("it was read");
}

/** Ways to ask for a call: the pickle, the name asked for, and the position of the opcode in it. */
const ATTACKS: [string, Uint8Array, string, number][] = [
  ["GLOBAL and REDUCE", bytesOf("cos\nsystem\n", tuple(text(PAYLOAD)), "R"), "os.system", 0],
  [
    "STACK_GLOBAL and REDUCE",
    bytesOf([0x8c, 5], "posix", [0x8c, 6], "system", [0x93], tuple(text(PAYLOAD)), "R"),
    "posix.system",
    15,
  ],
  ["INST", bytesOf("(", text(PAYLOAD), "ios\nsystem\n"), "os.system", 6 + PAYLOAD.length],
  ["OBJ", bytesOf("(", "cos\nsystem\n", text(PAYLOAD), "o"), "os.system", 1],
  ["NEWOBJ", bytesOf("csubprocess\nPopen\n", tuple(text(PAYLOAD)), [0x81]), "subprocess.Popen", 0],
  ["BUILD", bytesOf("cbuiltins\nobject\n", ")", [0x81], "}", "b"), "builtins.object", 0],
  ["a builtin", bytesOf("c__builtin__\neval\n", tuple(text("1")), "R"), "__builtin__.eval", 0],
  ["a name inside torch", bytesOf("ctorch.hub\nload\n", ")", "R"), "torch.hub.load", 0],
  [
    "a dotted path out of an allowed module",
    bytesOf([0x8c, 12], "torch._utils", [0x8c, 9], "os.system", [0x93], tuple(text(PAYLOAD)), "R"),
    "torch._utils.os.system",
    25,
  ],
  ["REDUCE of a storage type", bytesOf("ctorch\nFloatStorage\n", ")R"), "torch.FloatStorage", 21],
  [
    "NEWOBJ of an allowed name",
    bytesOf("ccollections\nOrderedDict\n", ")", [0x81]),
    "collections.OrderedDict",
    26,
  ],
  ["OBJ of an allowed name", bytesOf("(", "ccollections\nOrderedDict\n", "o"), "collections.OrderedDict", 26],
  ["INST of an allowed name", bytesOf("(icollections\nOrderedDict\n"), "collections.OrderedDict", 1],
  ["EXT1", bytesOf([0x82, 7]), "copyreg extension 7", 0],
  ["EXT2", bytesOf([0x83, 1, 1]), "copyreg extension 257", 0],
  ["EXT4", bytesOf([0x84], u32(70000)), "copyreg extension 70000", 0],
  ["PERSID", bytesOf("Pevil\n"), "PERSID evil", 0],
];

describe("a pickle that asks for a call", () => {
  it.each(ATTACKS)("is refused with the name and the opcode's byte: %s", (_, part, name, offset) => {
    const error = refused([0x80, 4], part, ".");
    expect(error.code).toBe("unsupported");
    expect(error.message).toContain(name);
    expect(error.where).toBe(`hand.pkl: byte ${2 + offset}`);
    expect(existsSync(PROOF)).toBe(false);
  });

  it.each(ATTACKS)(
    "is refused inside a state dict, in a zip and in a legacy file: %s",
    async (_, part, name, offset) => {
      const pickle = protocol2(dict(["model_state_dict", dict(["weight", part])]));
      const inside = 2 + 2 + text("model_state_dict").length + 2 + text("weight").length + offset;
      const zipped = await refusal(openBytes(zipFile(pickle)));
      expect(zipped.message).toContain(name);
      expect(zipped.where).toBe(`hand.pt: hand/data.pkl: byte ${inside}`);
      const file = legacyFile(pickle);
      const start = file.findIndex((_, i) => pickle.every((byte, k) => file[i + k] === byte));
      const legacy = await refusal(openBytes(file));
      expect(legacy.message).toContain(name);
      expect(legacy.where).toBe(`hand.pt: byte ${start + inside}`);
      expect(existsSync(PROOF)).toBe(false);
    },
  );

  it("is refused as a bare pickle file too, of any protocol", async () => {
    for (const file of [
      bytesOf(`cos\nsystem\n(S'${PAYLOAD}'\ntR.`),
      protocol2("cos\nsystem\n", tuple(text(PAYLOAD)), "R"),
    ]) {
      expect((await refusal(openBytes(file))).message).toContain("os.system");
    }
    expect((await refusal(openBytes(protocol2("}")))).message).toContain("not one of torch.save");
    expect(existsSync(PROOF)).toBe(false);
  });

  it("is refused for BUILD of anything but an OrderedDict", () => {
    expect(refused("]}b.").message).toContain("BUILD of a list");
    expect(refused("}}b.").message).toContain("BUILD of a dict");
    expect(read("ccollections\nOrderedDict\n)R}b.")).toBeInstanceOf(PickleDict);
  });
});

describe("readPickle", () => {
  it("reads plain values of every protocol", () => {
    const value = read(
      [0x80, 5, 0x95, 1, 0, 0, 0, 0, 0, 0, 0],
      "](",
      "N",
      [0x88, 0x89],
      "K\x05M\x01\x02J\xff\xff\xff\xff",
      [0x8a, 0, 0x8a, 1, 0x80, 0x8a, 9, 0, 0, 0, 0, 0, 0, 0, 0x80, 0],
      [0x8b, 2, 0, 0, 0, 0, 1],
      "I01\nI-7\nL12L\nF2.5\n",
      [0x47, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0],
      "V\\u00e9\nS'old'\nU\x02hi",
      [0x8c, 2, 0xc3, 0xa9, 0x8d, 1, 0, 0, 0, 0, 0, 0, 0, 0x61],
      "C\x02\x00\xff",
      "e.",
    );
    expect(value).toEqual([
      null,
      true,
      false,
      5,
      513,
      -1,
      0,
      -128,
      2n ** 63n,
      256,
      true,
      -7,
      12,
      2.5,
      1.5,
      "é",
      "old",
      "hi",
      "é",
      "a",
      Uint8Array.of(0, 255),
    ]);
  });

  it("reads tuples, lists, dicts, sets and the memo", () => {
    expect(read("K\x01K\x02\x86.")).toEqual(new PickleTuple([1, 2]));
    expect(read("(K\x01K\x02l.")).toEqual([1, 2]);
    expect(read("(K\x01q\x00h\x00d.")).toMatchObject({ entries: new Map([[1, 1]]) });
    expect(read([0x8f], "(K\x01K\x01", [0x90], ".")).toMatchObject({ items: new Set([1]) });
    expect(read("]", [0x94], "h\x00a.")).toHaveLength(1);
    expect(read("(K\x01K\x021K\x03.")).toBe(3);
    expect(read("K\x01(0.")).toBe(1);
    expect(read("K\x012\x86.")).toEqual(new PickleTuple([1, 1]));
  });

  it("refuses what is malformed with a plain error", () => {
    const cases: [Parameters<typeof bytesOf>, RegExp][] = [
      [["."], /more from its stack/],
      [["(K\x01\x85."], /left over|stack/],
      [["K\x01K\x02."], /left over/],
      [["t."], /mark/],
      [["h\x07."], /memo 7/],
      [["K\x01K\x02a."], /APPEND/],
      [["}K\x01K\x02K\x03"], /truncated/],
      [["}]K\x01s."], /a key that is a list/],
      [["}(K\x01u."], /a key without a value/],
      [["Iabc\n."], /not an integer/],
      [["F\n."], /not a number/],
      [["Sabc\n."], /not a quoted string/],
      [["S'a\\'b'\n."], /escapes/],
      [[[0x80, 9], "N."], /protocol 9/],
      [[[0xff], "."], /opcode 0xff/],
      [["X", u32(2), [0xff, 0xff], "."], /UTF-8/],
      [[[0x8a, 200], new Uint8Array(200), "."], /an integer of 200 bytes/],
      [[[0x8b], u32(2 ** 31 - 1)], /an integer of 2147483647 bytes/],
      [["X", u32(2 ** 31), "."], /truncated/],
      [[[0x8d], [255, 255, 255, 255, 255, 255, 255, 127], "."], /length/],
    ];
    for (const [parts, pattern] of cases) expect(refused(...parts).message).toMatch(pattern);
  });

  it("is bounded in opcodes, stack, and the memory of what it makes", () => {
    expect(refused(new Uint8Array(1_100_000).fill(0x4e)).message).toMatch(/stack passes/);
    expect(refused(bytesOf(new Uint8Array(1_100_000).fill(0x28))).message).toMatch(/marks/);
    for (const opcode of [0x7d, 0x5d, 0x8f]) {
      const pairs = new Uint8Array(500_000).map((_, i) => (i % 2 ? 0x30 : opcode));
      const { message } = refused(pairs);
      // What is dropped again counts too: the memo may hold it.
      expect(message, `${opcode}`).toMatch(/objects of more than 48777216 bytes/);
    }
    const idle = new Uint8Array(8_100_000).map((_, i) => (i % 2 ? 0x30 : 0x4e));
    expect(refused(idle).message).toMatch(/opcodes/);
  });
});
