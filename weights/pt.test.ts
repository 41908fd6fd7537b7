import { describe, expect, it } from "vitest";
import { float32ToFloat16, toFloat32 } from "./dtype.ts";
import { fixture, openBytes, openFixture, readAll, refusal } from "./testing/fixtures.ts";
import {
  bytesOf,
  dict,
  integer,
  legacyFile,
  protocol2,
  tensor,
  text,
  tuple,
  zipFile,
} from "./testing/pickle-assembler.ts";

function floats(...values: number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer);
}

const SIX = floats(0, 1, 2, 3, 4, 5);

function bfloat16(values: Float32Array): Float32Array {
  const bits = new Uint32Array(Float32Array.from(values).buffer);
  return new Float32Array(bits.map((b) => ((b + 0x7fff + ((b >>> 16) & 1)) & 0xffff0000) >>> 0).buffer);
}

const ROUNDING: Record<string, (values: Float32Array) => Float32Array> = {
  F32: (values) => values,
  F16: (values) => toFloat32(new Uint8Array(float32ToFloat16(values).buffer), "F16"),
  BF16: bfloat16,
  I64: (values) => values,
};

describe("a checkpoint saved by torch.save", () => {
  it.each([
    ["adapters_d32_zip.pt", "afrb_adapters.", "F32"],
    ["adapters_d32_legacy.pt", "afrb_adapters.", "F32"],
    ["adapters_d32_f16.pt", "afrb_adapters.", "F16"],
    ["adapters_d32_bf16.pt", "afrb_adapters.", "BF16"],
    ["adapters_d32_model_state_dict.pt", "model_state_dict.afrb_adapters.", "F32"],
  ])("%s holds the expected tensors and model_config", async (name, prefix, dtype) => {
    const [file, expected] = [
      await openFixture(name),
      await openFixture("adapters_d32_expected.safetensors"),
    ];
    expect(file.format).toBe("pt");
    expect(file.metadata.model_config).toEqual(JSON.parse(String(expected.metadata.model_config)));
    const names = [...expected.tensors.keys()].filter((key) => /^\d/.test(key));
    expect([...file.tensors.keys()].filter((key) => key.startsWith(prefix))).toHaveLength(names.length);
    for (const key of names) {
      const info = file.tensors.get(prefix + key)!;
      expect(info.shape).toEqual(expected.tensors.get(key)!.shape);
      if (info.dtype !== "I64") expect(info.dtype).toBe(dtype);
      const want = ROUNDING[info.dtype]!(await expected.float32(key));
      expect(await file.float32(prefix + key), key).toEqual(want);
    }
  });

  it("awkward.pt holds its views, scalar, empty, bool, integer, double and Parameter", async () => {
    const [file, expected] = [
      await openFixture("awkward.pt"),
      await openFixture("awkward_expected.safetensors"),
    ];
    for (const [name, { shape }] of expected.tensors) {
      expect(file.tensors.get(`model_state_dict.${name}`)).toMatchObject({ dtype: "F32", shape });
      expect(await file.bytes(`model_state_dict.${name}`), name).toEqual(await expected.bytes(name));
    }
    const others: [string, string, number[], number[]][] = [
      ["empty", "F32", [0, 4], []],
      ["bool", "BOOL", [2], [1, 0]],
      ["u8", "U8", [4], [0, 1, 2, 3]],
      ["i64", "I64", [5], [0, 1, 2, 3, 4]],
      ["f64", "F64", [2], [1.5, 2.5]],
    ];
    for (const [name, dtype, shape, values] of others) {
      expect(file.tensors.get(`model_state_dict.${name}`)).toMatchObject({ dtype, shape });
      expect([...(await file.float32(`model_state_dict.${name}`))]).toEqual(values);
    }
    expect(file.tensors.size).toBe(expected.tensors.size + others.length);
    expect(file.metadata).toEqual({
      optimizer_state_dict: { step: 7, lr: 1e-4, betas: [0.9, 0.999], none: null, flag: true, name: "adamw" },
    });
  });
});

describe.each([
  ["zip", (pickle: Uint8Array) => zipFile(pickle, { "0": SIX })],
  ["legacy", (pickle: Uint8Array) => legacyFile(pickle, [["0", 6, SIX]])],
])("a hand-made checkpoint (%s)", (_, make) => {
  const one = (shape: number[], strides: number[], offset = 0, count = 6) =>
    make(protocol2(dict(["w", tensor("0", count, shape, strides, offset)])));
  const complaint = async (...args: Parameters<typeof one>) =>
    (await refusal(openBytes(one(...args)))).message;

  it("reads strided views in row-major order", async () => {
    const read = async (...args: Parameters<typeof one>) => [
      ...(await (await openBytes(one(...args))).float32("w")),
    ];
    expect(await read([3, 2], [1, 3])).toEqual([0, 3, 1, 4, 2, 5]);
    expect(await read([2, 2], [3, 1], 1)).toEqual([1, 2, 4, 5]);
    expect(await read([2], [4], 1)).toEqual([1, 5]);
    expect(await read([2, 1, 2], [3, 99, 2])).toEqual([0, 2, 3, 5]);
    expect(await read([2, 2], [2, 2])).toEqual([0, 2, 2, 4]);
    expect(await read([2, 3], [0, 1], 2)).toEqual([2, 3, 4, 2, 3, 4]);
    expect(await read([], [], 5)).toEqual([5]);
    expect(await read([0, 7], [7, 1], 6)).toEqual([]);
  });

  it("refuses a view that leaves its storage, by tensor, with the numbers", async () => {
    expect(await complaint([7], [1])).toMatch(/tensor w: leaves its storage.* need 7 .* has only 6/);
    expect(await complaint([2], [1], 5)).toMatch(/tensor w: leaves its storage/);
    expect(await complaint([2, 2], [5, 1])).toMatch(/tensor w: leaves/);
    expect(await complaint([0], [1], 7)).toMatch(/tensor w: leaves/);
    expect(await complaint([2], [2 ** 52])).toMatch(/tensor w: leaves/);
    expect(await complaint([1], [1], 2 ** 53 - 1)).toMatch(/tensor w: leaves/);
  });

  it("refuses a stride-0 bomb, by tensor, without its memory", async () => {
    expect(await complaint([2 ** 40], [0])).toMatch(
      /tensor w: it has 1099511627776 elements, but its storage only 6/,
    );
    expect(await complaint([2 ** 20, 6], [0, 1])).toMatch(/tensor w/);
    expect(await complaint([4, 3], [1, 1])).toMatch(/tensor w: it has 12 elements, but its storage only/);
  });

  it("refuses huge, negative and mismatched sizes and strides", async () => {
    expect(await complaint([2 ** 40, 2 ** 40], [0, 0])).toMatch(/tensor w: its shape .* too large/);
    expect(await complaint([2 ** 52], [1])).toMatch(/tensor w: its shape .* too large/);
    expect(await complaint([-1], [1])).toMatch(/size \(-1\)/);
    expect(await complaint([2], [-1], 3)).toMatch(/stride \(-1\)/);
    expect(await complaint([2], [1], -1)).toMatch(/offset \(-1\)/);
    expect(await complaint([2, 3], [1])).toMatch(/_rebuild_tensor_v2/);
    expect(await complaint([1], [1], 0, 2 ** 52)).toMatch(/storage 0/);
    expect(await complaint([1], [1], 0, 5)).toMatch(/storage 0/);
  });

  it("flattens nested names and keeps plain values nested, harmless keys and all", async () => {
    const w = tensor("0", 6, [6], [1]);
    const file = await openBytes(
      make(
        protocol2(
          dict(
            ["list", bytesOf("](", w, dict(["x", w]), "K\x05", "e")],
            ["only", bytesOf("](", w, "e")],
            ["__proto__", dict(["polluted", text("yes")])],
            ["constructor", w],
            [
              "config",
              dict(
                ["a", tuple("K\x01", "N")],
                ["b", dict()],
                ["big", bytesOf([0x8a, 9], new Uint8Array(8), [1])],
              ),
            ],
            ["dtype", "ctorch\nbfloat16\n"],
            ["size", bytesOf("ctorch\nSize\n", tuple(tuple(integer(3))), "R")],
          ),
        ),
      ),
    );
    expect([...file.tensors.keys()]).toEqual(["list.0", "list.1.x", "only.0", "constructor"]);
    expect(Object.keys(file.metadata)).toEqual(["list", "__proto__", "config", "dtype", "size"]);
    expect(file.metadata.list).toEqual([null, null, 5]);
    expect(file.metadata.config).toEqual({ a: [1, null], b: {}, big: "18446744073709551616" });
    expect(file.metadata.dtype).toBe("torch.bfloat16");
    expect(file.metadata.size).toEqual([3]);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  it("refuses a tensor of more than 64 dimensions, without looking at its shape", async () => {
    const many = (count: number) => tensor("0", 6, [6, ...Array(count - 1).fill(1)], Array(count).fill(1));
    expect((await openBytes(make(protocol2(many(64))))).tensors.get("tensor")!.shape).toHaveLength(64);
    const refused = await refusal(openBytes(make(protocol2(many(65)))));
    expect(refused.message).toMatch(/hand\.pt: .*a tensor of 65 dimensions; the most is 64/);
    const uneven = await refusal(openBytes(make(protocol2(tensor("0", 6, [6], [1, 1])))));
    expect(uneven.message).toMatch(/_rebuild_tensor_v2 is called with arguments/);
  });

  it("refuses texts that a few bytes make endless: a device joined to itself, a key of many texts", async () => {
    const device = bytesOf("ctorch\ndevice\n");
    const doubled = Array.from({ length: 30 }, () => bytesOf("q\x010", device, "h\x01h\x01\x86R"));
    const name = await refusal(openBytes(make(protocol2(text("a"), ...doubled))));
    expect(name.message).toMatch(/torch\.device is called with arguments/);
    const key = bytesOf(text("a".repeat(2000)), "q\x010}(", "h\x01".repeat(60), "tNs");
    expect((await refusal(openBytes(make(protocol2(key))))).message).toMatch(
      /has a key of 120000 characters/,
    );
  });

  it("refuses two tensors of one flattened name, cycles, and shared lists that expand without end", async () => {
    const w = tensor("0", 6, [6], [1]);
    const open = async (body: Uint8Array) => (await refusal(openBytes(make(protocol2(body))))).message;
    expect(await open(dict(["a", dict(["b", w])], ["a.b", w]))).toMatch(/a\.b: two tensors/);
    expect(await open(dict(["a", w], ["l", bytesOf("]q\x01h\x01a")]))).toMatch(/l\.0: holds itself/);
    const doubling = Array.from(
      { length: 60 },
      (_, i) => `](h${String.fromCharCode(i)}h${String.fromCharCode(i)}eq${String.fromCharCode(i + 1)}0`,
    );
    expect(await open(bytesOf("]q\x000", ...doubling, "h\x3c"))).toMatch(/expands to more/);
    const deep = bytesOf(
      ...Array.from({ length: 200 }, () => "]"),
      ...Array.from({ length: 199 }, () => "a"),
    );
    expect(await open(deep)).toMatch(/nested deeper/);
  });

  it("names a lone tensor `tensor` and reads a list of state dicts", async () => {
    const w = tensor("0", 6, [6], [1]);
    expect([...(await openBytes(make(protocol2(w)))).tensors.keys()]).toEqual(["tensor"]);
    const list = await openBytes(make(protocol2("](", dict(["a", w]), dict(["a", w]), "e")));
    expect([...list.tensors.keys()]).toEqual(["0.a", "1.a"]);
  });
});

describe("the zip form", () => {
  const pickle = protocol2(dict(["w", tensor("0", 6, [6], [1])]));

  it("refuses a deflated entry by name", async () => {
    const error = await refusal(openBytes(zipFile(pickle, { "0": SIX }, {}, 9)));
    expect(error.code).toBe("unsupported");
    expect(error.message).toMatch(/hand\/data\.pkl: is compressed \(zip method 8, deflate\)/);
  });

  it("takes little byte order and refuses big", async () => {
    const order = (value: string) => zipFile(pickle, { "0": SIX }, { "hand/byteorder": bytesOf(value) });
    expect(await readAll(order("little"), "x.pt")).toBe(24);
    expect((await refusal(openBytes(order("big")))).message).toMatch(
      /hand\/byteorder: the byte order is big/,
    );
  });

  it("refuses a missing storage, one of another length, TorchScript, and a zip of something else", async () => {
    const say = async (bytes: Uint8Array) => (await refusal(openBytes(bytes))).message;
    expect(await say(zipFile(pickle))).toMatch(/storage 0: the zip has no hand\/data\/0/);
    expect(await say(zipFile(pickle, { "0": SIX.subarray(4) }))).toMatch(/storage 0: has 20 bytes.* 24/);
    expect(await say(zipFile(pickle, { "0": SIX }, { "hand/constants.pkl": bytesOf("N.") }))).toMatch(
      /TorchScript/,
    );
    expect(await say(zipFile(pickle, {}, { "other/data.pkl": pickle }))).toMatch(/2 data\.pkl/);
  });

  it("reads zip64 directories", async () => {
    const plain = zipFile(pickle, { "0": SIX });
    expect(await readAll(asZip64(plain), "x.pt")).toBe(24);
  });

  it("refuses entries that share bytes", async () => {
    const zip = zipFile(pickle, { "0": SIX });
    const view = new DataView(zip.buffer);
    const directory = view.getUint32(zip.length - 6, true);
    const second = directory + 46 + view.getUint16(directory + 28, true);
    view.setUint32(second + 42, 4, true);
    expect((await refusal(openBytes(zip))).message).toMatch(/run past byte/);
  });

  it("reads unsigned 16-bit tensors as _rebuild_tensor_v3 gives them, and refuses dtypes it lacks by name", async () => {
    const made = (dtype: string) => {
      const id = bytesOf(
        tuple(text("storage"), "ctorch.storage\nUntypedStorage\n", text("0"), text("cpu"), integer(24)),
        "Q",
      );
      const args = tuple(
        id,
        integer(1),
        tuple(integer(3)),
        tuple(integer(1)),
        [0x89],
        "}",
        `ctorch\n${dtype}\n`,
      );
      return zipFile(protocol2(dict(["w", bytesOf("ctorch._utils\n_rebuild_tensor_v3\n", args, "R")])), {
        "0": SIX,
      });
    };
    const file = await openBytes(made("uint16"));
    expect(file.tensors.get("w")).toMatchObject({ dtype: "U16", shape: [3] });
    expect([...(await file.float32("w"))]).toEqual([0, 0, 0x3f80]);
    expect((await refusal(openBytes(made("complex64")))).message).toMatch(/torch\.complex64/);
  });
});

describe("the legacy form", () => {
  it("reads storage views", async () => {
    const id = bytesOf(
      tuple(
        text("storage"),
        "ctorch\nFloatStorage\n",
        text("0"),
        text("cpu"),
        integer(6),
        tuple(text("1"), integer(2), integer(3)),
      ),
      "Q",
    );
    const args = tuple(id, integer(1), tuple(integer(2)), tuple(integer(1)), [0x89], "}");
    const w = bytesOf("ctorch._utils\n_rebuild_tensor_v2\n", args, "R");
    const file = await openBytes(legacyFile(protocol2(dict(["w", w])), [["0", 6, SIX]]));
    expect([...(await file.float32("w"))]).toEqual([3, 4]);
  });

  it("reads a pickle longer than its first window", async () => {
    const long = "x".repeat(300_000);
    const pickle = protocol2(dict(["note", text(long)], ["w", tensor("0", 6, [6], [1])]));
    const file = await openBytes(legacyFile(pickle, [["0", 6, SIX]]));
    expect(file.metadata.note).toBe(long);
    expect([...(await file.float32("w"))]).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it("refuses counts that differ, and storages that are not there", async () => {
    const pickle = protocol2(dict(["w", tensor("0", 6, [6], [1])]));
    const say = async (bytes: Uint8Array) => (await refusal(openBytes(bytes))).message;
    expect(await say(legacyFile(pickle, [["0", 5, SIX]]))).toMatch(/storage 0: holds 5 elements.* 6/);
    expect(await say(legacyFile(pickle, [["0", 6, SIX.subarray(4)]]))).toMatch(/storage 0: truncated/);
    expect(await say(legacyFile(pickle))).toMatch(/storage 0: is not in the file/);
  });
});

/** A copy of a zip whose end record defers to a zip64 one. */
function asZip64(zip: Uint8Array): Uint8Array {
  const end = zip.length - 22;
  const view = new DataView(zip.buffer, zip.byteOffset);
  const record = new Uint8Array(56);
  const fields = new DataView(record.buffer);
  fields.setUint32(0, 0x06064b50, true);
  fields.setBigUint64(4, 44n, true);
  fields.setBigUint64(24, BigInt(view.getUint16(end + 10, true)), true);
  fields.setBigUint64(32, BigInt(view.getUint16(end + 10, true)), true);
  fields.setBigUint64(40, BigInt(view.getUint32(end + 12, true)), true);
  fields.setBigUint64(48, BigInt(view.getUint32(end + 16, true)), true);
  const locator = new Uint8Array(20);
  new DataView(locator.buffer).setUint32(0, 0x07064b50, true);
  new DataView(locator.buffer).setBigUint64(8, BigInt(end), true);
  const tail = zip.slice(end);
  tail.fill(0xff, 8, 20);
  return bytesOf(zip.subarray(0, end), record, locator, tail);
}

it("reads the fixtures' bytes without keeping the caller's memory", async () => {
  const bytes = fixture("awkward.pt");
  const file = await openBytes(bytes);
  const before = await file.bytes("model_state_dict.whole");
  bytes.fill(0);
  expect(before.some((byte) => byte !== 0)).toBe(true);
});
