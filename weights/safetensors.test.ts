import { describe, expect, it } from "vitest";
import { bytesSource } from "./byte-source.ts";
import { startThread } from "./node/threads.ts";
import { openTensorFile } from "./open.ts";
import { type TensorToWrite, writeSafetensors } from "./safetensors.ts";
import { openBytes, openFixture, refusal } from "./testing/fixtures.ts";
import { bytesOf, int64 } from "./testing/pickle-assembler.ts";

function file(header: string, data = 0): Uint8Array {
  const json = new TextEncoder().encode(header);
  return bytesOf(int64(json.length), json, new Uint8Array(data));
}

async function message(header: string, data = 0): Promise<string> {
  return (await refusal(openBytes(file(header, data), "hand.safetensors"))).message;
}

const F32 = (shape: string, begin: number, end: number) =>
  `{"dtype":"F32","shape":${shape},"data_offsets":[${begin},${end}]}`;

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return bytesOf(...parts);
}

function toWrite(
  name: string,
  dtype: TensorToWrite["dtype"],
  shape: number[],
  bytes: Uint8Array,
): TensorToWrite {
  return { name, dtype, shape, bytes: async () => bytes };
}

describe("a safetensors file", () => {
  it("gives its tensors and metadata", async () => {
    const opened = await openFixture("adapters_d32_expected.safetensors");
    expect(opened.format).toBe("safetensors");
    expect(opened.tensors.get("0.mixer.0.weight")).toMatchObject({ dtype: "F32", shape: [64, 32] });
    expect(JSON.parse(String(opened.metadata.model_config))).toMatchObject({ omega: 6.05, use_glu: true });
    expect((await opened.float32("input")).length).toBe(640);
    expect((await opened.bytes("0.alpha")).length).toBe(4);
    expect((await refusal(opened.bytes("nope"))).message).toContain("no tensor named nope");
    const part = await opened.bytes("input", 100, 228);
    expect(part).toEqual((await opened.bytes("input")).slice(100, 228));
    expect((await refusal(opened.bytes("input", 2556, 2564))).message).toContain(
      "tensor input: has no bytes 2556 to 2564 of 2560",
    );
  });

  it("is refused where offsets overlap, leave a hole, leave the file or differ from the shape", async () => {
    expect(await message(`{"a":${F32("[2]", 0, 8)},"b":${F32("[2]", 4, 12)}}`, 12)).toMatch(
      /tensor b: overlaps a/,
    );
    expect(await message(`{"a":${F32("[1]", 0, 4)},"b":${F32("[1]", 8, 12)}}`, 12)).toMatch(
      /tensor b: leaves a hole/,
    );
    expect(await message(`{"a":${F32("[2]", 0, 8)}}`, 7)).toMatch(/tensor a: truncated.* 8, but there are 7/);
    expect(await message(`{"a":${F32("[2]", 0, 8)}}`, 9)).toMatch(/end at data byte 8, but there are 9/);
    expect(await message(`{"a":${F32("[3]", 0, 8)}}`, 8)).toMatch(
      /tensor a: its offsets span 8 bytes.* is 12/,
    );
    expect(await message(`{"a":${F32("[2]", 8, 0)}}`, 8)).toMatch(/span -8/);
    expect(await message(`{"a":${F32("[2]", -8, 0)}}`, 8)).toMatch(/data_offsets/);
  });

  it("is refused where a key stands twice, at any depth, however it is spelled", async () => {
    expect(await message(`{"a":${F32("[0]", 0, 0)},"a":${F32("[0]", 0, 0)}}`)).toMatch(/the key a twice/);
    expect(await message(`{"a":${F32("[0]", 0, 0)},"\\u0061":${F32("[0]", 0, 0)}}`)).toMatch(
      /the key a twice/,
    );
    expect(await message(`{"a":{"dtype":"F32","shape":[0],"shape":[1],"data_offsets":[0,0]}}`)).toMatch(
      /shape twice/,
    );
    expect(await message(`{"__metadata__":{"k":"1","k":"2"}}`)).toMatch(/the key k twice/);
  });

  it("may repeat a key's text as a value, or in another object", async () => {
    const opened = await openBytes(
      file(`{"__metadata__":{"a":"a","b":"a, \\"a\\": {"},"a":${F32("[0]", 0, 0)}}`),
      "x",
    );
    expect([...opened.tensors.keys()]).toEqual(["a"]);
  });

  it("is refused for huge and impossible shapes, without their memory", async () => {
    expect(await message(`{"a":${F32("[4294967296,4294967296]", 0, 8)}}`, 8)).toMatch(
      /tensor a: its shape .*too large/,
    );
    expect(await message(`{"a":${F32("[1125899906842624]", 0, 8)}}`, 8)).toMatch(/tensor a: /);
    expect(await message(`{"a":${F32("[-1]", 0, 8)}}`, 8)).toMatch(/tensor a: its shape/);
    expect(await message(`{"a":${F32("[1.5]", 0, 8)}}`, 8)).toMatch(/tensor a: its shape/);
    expect(await message(`{"a":${F32("7", 0, 8)}}`, 8)).toMatch(/tensor a: its shape/);
  });

  it("may hold strings of many megabytes, and is refused for a name of that length", async () => {
    const long = '\\"x'.repeat(8_000_000);
    const opened = await openBytes(file(`{"__metadata__":{"k":"${long}"}}`), "x");
    expect(String(opened.metadata.k)).toHaveLength(16_000_000);
    expect(await message(`{"${long}":${F32("[0]", 0, 0)}}`)).toMatch(/a name of 16000000 characters/);
  });

  it("is refused by name for an unknown dtype", async () => {
    const error = await refusal(
      openBytes(file('{"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}', 1), "hand.safetensors"),
    );
    expect(error.code).toBe("unsupported");
    expect(error.message).toMatch(/hand\.safetensors: tensor a: dtype F8_E4M3/);
  });

  it("is refused for a header that is cut off, too long, or no JSON object", async () => {
    const cut = file(`{"a":${F32("[0]", 0, 0)}}`).subarray(0, 30);
    expect((await refusal(openBytes(cut, "x"))).message).toMatch(
      /truncated: its header needs \d+ bytes, and 22/,
    );
    expect((await refusal(openBytes(bytesOf(int64(2 ** 30), "{"), "x"))).message).toMatch(/1073741824/);
    expect(await message("{nonsense}")).toMatch(/header: is not valid/);
    expect(await message('{"a":3}')).toMatch(/tensor a/);
    expect(await message('{"__metadata__":{"k":3}}')).toMatch(/__metadata__.k: is not a string/);
  });

  it("keeps names such as __proto__ and constructor apart from objects' own", async () => {
    const opened = await openBytes(
      file(
        `{"__metadata__":{"__proto__":"m"},"__proto__":${F32("[1]", 0, 4)},"constructor":${F32("[0]", 4, 4)}}`,
        4,
      ),
      "x",
    );
    expect([...opened.tensors.keys()].sort()).toEqual(["__proto__", "constructor"]);
    expect(Object.entries(opened.metadata)).toEqual([["__proto__", "m"]]);
    expect(({} as Record<string, unknown>).k).toBeUndefined();
  });
});

describe("writeSafetensors", () => {
  it("writes what the reader reads, every tensor aligned to its element", async () => {
    const bytes = await collect(
      writeSafetensors(
        [
          toWrite("flags", "BOOL", [3], Uint8Array.of(1, 0, 1)),
          toWrite("10", "F32", [2], new Uint8Array(Float32Array.of(1.5, -2).buffer)),
          toWrite("2", "F32", [], new Uint8Array(Float32Array.of(7).buffer)),
          toWrite("steps", "I64", [1], int64(9)),
          toWrite("none", "F16", [0, 4], new Uint8Array()),
        ],
        { note: 'quotes " and ünïcode' },
      ),
    );
    const opened = await openTensorFile(bytesSource("out.safetensors", bytes), startThread);
    expect([...opened.tensors.keys()].sort()).toEqual(["10", "2", "flags", "none", "steps"]);
    expect(opened.metadata).toEqual({ note: 'quotes " and ünïcode' });
    expect([...(await opened.float32("10"))]).toEqual([1.5, -2]);
    expect([...(await opened.float32("steps"))]).toEqual([9]);
    expect([...(await opened.float32("flags"))]).toEqual([1, 0, 1]);
    expect(bytes.length % 8).toBe((8 + 8 + 4 + 3) % 8);
  });

  it("holds one tensor at a time: each is asked for only when the one before is taken", async () => {
    const asked: string[] = [];
    const lazy = (name: string): TensorToWrite => ({
      name,
      dtype: "U8",
      shape: [1],
      bytes: async () => {
        asked.push(name);
        return Uint8Array.of(0);
      },
    });
    const chunks = writeSafetensors([lazy("a"), lazy("b")]);
    await chunks.next();
    expect(asked).toEqual([]);
    await chunks.next();
    expect(asked).toEqual(["a"]);
  });

  it("refuses repeated and reserved names, and bytes that are not as many as the shape says", async () => {
    const one = toWrite("a", "U8", [1], Uint8Array.of(0));
    expect((await refusal(collect(writeSafetensors([one, one])))).message).toContain("tensor a");
    await refusal(collect(writeSafetensors([{ ...one, name: "__metadata__" }])));
    expect((await refusal(collect(writeSafetensors([{ ...one, shape: [2] }])))).message).toMatch(
      /has 1 bytes.* 2/,
    );
  });
});
