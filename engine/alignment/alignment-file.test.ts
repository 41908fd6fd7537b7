import { expect, it } from "vitest";
import { randomFloats } from "../../test/gpu.ts";
import { collectBytes } from "../../test/models.ts";
import { bytesSource } from "../../weights/byte-source.ts";
import { openSafetensors, type TensorToWrite, writeSafetensors } from "../../weights/safetensors.ts";
import type { TensorFile } from "../../weights/tensor-file.ts";
import { encodeAlignment, readAlignment } from "./alignment-file.ts";

const size = 6;
const model = { fingerprint: "a1".repeat(32), weights: { shape: { size } } };
const alignment = {
  weights: randomFloats(1, size * size),
  lambda: 1e-7,
  tokens: 720,
  residual: 0.123456789012345,
};

const open = async (chunks: AsyncIterable<Uint8Array>): Promise<TensorFile> =>
  openSafetensors(bytesSource("w.safetensors", new Uint8Array(await collectBytes(chunks))));

it("is read back as it was written", async () => {
  expect(await readAlignment(await open(encodeAlignment(model, alignment)), model)).toEqual(alignment);
  const edges = { ...alignment, lambda: 0, residual: 0, tokens: 2 ** 31 };
  expect(await readAlignment(await open(encodeAlignment(model, edges)), model)).toEqual(edges);
});

const right = {
  format: "resonant-alignment",
  version: "1",
  fingerprint: model.fingerprint,
  lambda: "0.01",
  tokens: "720",
  residual: "0.9",
};
const tensor = (name: string, values: Float32Array<ArrayBuffer>, shape = [size, size]): TensorToWrite => ({
  name,
  dtype: "F32",
  shape,
  bytes: async () => new Uint8Array(values.buffer),
});
const whole = tensor("W", randomFloats(2, size * size));
const holding = (value: number): TensorToWrite =>
  tensor(
    "W",
    randomFloats(2, size * size).map((other, i) => (i === 7 ? value : other)),
  );
const without = (key: keyof typeof right): Record<string, string> =>
  Object.fromEntries(Object.entries(right).filter(([name]) => name !== key));

it.each<[string, readonly TensorToWrite[], Record<string, string>, RegExp]>([
  ["no metadata", [whole], {}, /no alignment/],
  ["another format", [whole], { ...right, format: "resonant-state" }, /no alignment/],
  ["a later version", [whole], { ...right, version: "2" }, /version 2; this engine reads version 1/],
  ["no version", [whole], without("version"), /version/],
  ["another model", [whole], { ...right, fingerprint: "b2".repeat(32) }, /another model \(b2b2b2b2b2b2…/],
  ["no fingerprint", [whole], without("fingerprint"), /fingerprint/],
  ["a fingerprint that is none", [whole], { ...right, fingerprint: "A1" }, /fingerprint: is no SHA-256/],
  ["no λ", [whole], without("lambda"), /lambda/],
  ["a negative λ", [whole], { ...right, lambda: "-1" }, /lambda: is no number/],
  ["an infinite λ", [whole], { ...right, lambda: "1e999" }, /lambda/],
  ["no tokens", [whole], { ...right, tokens: "0" }, /tokens/],
  ["part of a token", [whole], { ...right, tokens: "1.5" }, /tokens/],
  ["no residual", [whole], { ...right, residual: "NaN" }, /residual: is no number/],
  ["more than that", [whole], { ...right, note: "x" }, /note/],
  ["no W", [], right, /W is missing/],
  ["a tensor beside W", [whole, tensor("V", new Float32Array(1), [1])], right, /V is no part/],
  ["a W of another width", [tensor("W", new Float32Array(12), [size, 2])], right, /F32 \[6, 2\], not F32/],
  ["a flat W", [tensor("W", new Float32Array(36), [36])], right, /F32 \[36\], not F32 \[6, 6\]/],
  ["an integer W", [{ ...whole, dtype: "I32" }], right, /I32 \[6, 6\], not F32/],
  ["a NaN", [holding(Number.NaN)], right, /W holds values that are not finite/],
  ["an infinity", [holding(Number.NEGATIVE_INFINITY)], right, /W holds values that are not finite/],
])("is refused with %s, by the file's name", async (_, tensors, metadata, message) => {
  const error = await readAlignment(await open(writeSafetensors(tensors, metadata)), model).catch(
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ code: "invalid_file", where: "w.safetensors" });
  expect(String(error)).toMatch(message);
});
