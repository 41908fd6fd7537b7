import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { ResonantError } from "../../common/errors.ts";
import { bytesSource } from "../byte-source.ts";
import { startThread } from "../node/threads.ts";
import { openTensorFile } from "../open.ts";
import type { TensorFile } from "../tensor-file.ts";
import { inPlace } from "./in-place.ts";

const FOLDER = fileURLToPath(new URL("../../test/fixtures/checkpoints/", import.meta.url));

export function fixturePath(name: string): string {
  return FOLDER + name;
}

export function fixture(name: string): Uint8Array {
  return new Uint8Array(readFileSync(fixturePath(name)));
}

export const FIXTURES: readonly string[] = readdirSync(FOLDER)
  .filter((name) => /\.(pt|safetensors)$/.test(name))
  .sort();

export function openFixture(name: string): Promise<TensorFile> {
  return openTensorFile(bytesSource(name, fixture(name)), startThread);
}

/** Opens bytes in this thread: tests do it thousands of times. */
export function openBytes(bytes: Uint8Array, name = "hand.pt"): Promise<TensorFile> {
  return openTensorFile(bytesSource(name, bytes), inPlace);
}

/** Opens a file and reads every tensor. */
export async function readAll(bytes: Uint8Array, name: string): Promise<number> {
  const file = await openBytes(bytes, name);
  let total = 0;
  for (const tensor of file.tensors.keys()) total += (await file.bytes(tensor)).byteLength;
  return total;
}

/** The error that a promise rejects with, which must be one that the code raises on purpose. */
export async function refusal(promise: Promise<unknown>): Promise<ResonantError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ResonantError);
  return error as ResonantError;
}
