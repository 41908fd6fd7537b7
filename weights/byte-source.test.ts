import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { allocate, type ByteSource, blobSource, bytesSource } from "./byte-source.ts";
import { openFile } from "./node/file.ts";
import { refusal } from "./testing/fixtures.ts";

const CONTENT = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "resonant-"));
  await writeFile(join(folder, "content.bin"), CONTENT);
  await writeFile(join(folder, "empty.bin"), "");
});
afterAll(() => rm(folder, { recursive: true }));

const SOURCES: [string, () => Promise<ByteSource & { close?: () => Promise<void> }>][] = [
  ["bytesSource", async () => bytesSource("content.bin", CONTENT)],
  ["blobSource", async () => blobSource("content.bin", new Blob([CONTENT]))],
  ["openFile", () => openFile(join(folder, "content.bin"))],
];

describe.each(SOURCES)("%s", (_, make) => {
  it("reads exactly the range asked for, aligned, and refuses one that leaves the file with both numbers", async () => {
    const source = await make();
    expect(source.size).toBe(1000);
    const part = await source.read(101, 52);
    expect([...part]).toEqual([...CONTENT.subarray(101, 153)]);
    expect(part.byteOffset % 8).toBe(0);
    expect((await source.read(1000, 0)).length).toBe(0);
    const error = await refusal(source.read(990, 11));
    expect(error.code).toBe("invalid_file");
    expect(error.message).toMatch(/content\.bin: truncated.*1001.*1000/);
    await refusal(source.read(-1, 5));
    await refusal(source.read(0, Number.POSITIVE_INFINITY));
    await refusal(source.read(Number.NaN, 1));
    await source.close?.();
  });
});

describe("openFile", () => {
  it("names a missing file, a directory and an empty file for what they are", async () => {
    expect((await refusal(openFile(join(folder, "none.pt")))).message).toMatch(
      /none\.pt: cannot be opened: no such/,
    );
    expect((await refusal(openFile(folder))).message).toContain("is a directory");
    expect((await refusal(openFile(join(folder, "empty.bin")))).message).toMatch(/empty\.bin: is empty/);
  });
});

describe("allocate", () => {
  it("has an error of its own for more memory than there is", async () => {
    const error = await refusal((async () => allocate("huge.pt", 2 ** 52))());
    expect(error.code).toBe("out_of_memory");
    expect(error.message).toMatch(/huge\.pt: there is no memory block of 4503599627370496 bytes/);
  });
});
