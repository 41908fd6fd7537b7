import { writeFileSync } from "node:fs";
import {
  copyFile,
  link,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FIXTURES, fixturePath, openBytes, openFixture, refusal } from "../testing/fixtures.ts";
import { type ConvertProgress, convertToSafetensors } from "./convert.ts";
import { writeFileAtomically } from "./file.ts";

let folder: string;
let output: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "resonant-"));
  output = join(folder, "out.safetensors");
});
afterEach(() => rm(folder, { recursive: true }));

const load = async (path: string) => openBytes(new Uint8Array(await readFile(path)), path);

describe("convertToSafetensors", () => {
  it.each(FIXTURES)("keeps every tensor of %s to the byte, and its plain values", async (name) => {
    const progress: ConvertProgress[] = [];
    const summary = await convertToSafetensors(fixturePath(name), output, (step) => progress.push(step));
    const [before, after] = [await openFixture(name), await load(output)];
    expect([...after.tensors.keys()].sort()).toEqual([...before.tensors.keys()].sort());
    for (const [tensor, { dtype, shape }] of before.tensors) {
      expect(after.tensors.get(tensor)).toMatchObject({ dtype, shape });
      expect(await after.bytes(tensor), tensor).toEqual(await before.bytes(tensor));
    }
    for (const [key, value] of Object.entries(before.metadata)) {
      const kept = String(after.metadata[key]);
      expect(typeof value === "string" ? kept : JSON.parse(kept)).toEqual(value);
    }
    expect(summary.tensors).toBe(before.tensors.size);
    expect(summary.bytes).toBe((await readFile(output)).length);
    expect(Object.values(summary.dtypes).reduce((a, b) => a + b, 0)).toBe(before.tensors.size);
    expect(progress.at(-1)).toMatchObject({
      tensor: undefined,
      done: summary.tensors,
      total: summary.tensors,
    });
    expect(progress.at(-1)!.bytesDone).toBe(progress.at(-1)!.bytesTotal);
    expect(await readdir(folder)).toEqual(["out.safetensors"]);
  });

  it("refuses to replace an output unless forced, and to write over its own input by any name, even then", async () => {
    const input = join(folder, "in.pt");
    await copyFile(fixturePath("awkward.pt"), input);
    await writeFile(output, "mine");
    expect((await refusal(convertToSafetensors(input, output))).message).toMatch(
      /out\.safetensors: exists already/,
    );
    expect(await readFile(output, "utf8")).toBe("mine");
    await symlink(input, join(folder, "symlink"));
    await link(input, join(folder, "hardlink"));
    for (const name of ["in.pt", "symlink", "hardlink"]) {
      const error = await refusal(
        convertToSafetensors(input, join(folder, name), undefined, { force: true }),
      );
      expect(error.message).toMatch(/is the input itself/);
    }
    expect(await readFile(input)).toEqual(await readFile(fixturePath("awkward.pt")));
    await convertToSafetensors(input, output, undefined, { force: true });
    expect((await load(output)).tensors.size).toBe(10);
  });

  it("leaves no file, and the old output as it was, when it fails at any point", async () => {
    const input = join(folder, "in.pt");
    await copyFile(fixturePath("adapters_d32_zip.pt"), input);
    const failing = (step: ConvertProgress) => {
      if (step.done === 20) throw new Error("stopped");
    };
    await expect(convertToSafetensors(input, output, failing)).rejects.toThrow("stopped");
    expect(await readdir(folder)).toEqual(["in.pt"]);
    await writeFile(output, "mine");
    await expect(convertToSafetensors(input, output, failing, { force: true })).rejects.toThrow("stopped");
    expect(await readFile(output, "utf8")).toBe("mine");
    await truncate(input, 20_000);
    expect((await refusal(convertToSafetensors(input, output, undefined, { force: true }))).message).toMatch(
      /truncated/,
    );
    expect((await readdir(folder)).sort()).toEqual(["in.pt", "out.safetensors"]);
  });

  it("does not replace a file that appears while it works", async () => {
    const meddle = (step: ConvertProgress) => {
      if (step.done === 3) writeFileSync(output, "mine");
    };
    const error = await refusal(convertToSafetensors(fixturePath("awkward.pt"), output, meddle));
    expect(error.message).toMatch(/exists already/);
    expect(await readFile(output, "utf8")).toBe("mine");
  });

  it("names a folder that is not there, a missing input and an output that is a folder", async () => {
    const input = fixturePath("awkward.pt");
    const nowhere = join(folder, "none", "out.safetensors");
    expect((await refusal(convertToSafetensors(input, nowhere))).message).toMatch(
      /cannot be written: no such/,
    );
    expect((await refusal(convertToSafetensors(join(folder, "none.pt"), output))).message).toMatch(
      /no such file/,
    );
    expect((await refusal(convertToSafetensors(input, folder, undefined, { force: true }))).message).toMatch(
      /not a regular file/,
    );
  });
});

describe("writeFileAtomically", () => {
  it("writes through a symbolic link, which stays one", async () => {
    await writeFile(output, "old");
    await symlink(output, join(folder, "link"));
    await writeFileAtomically(join(folder, "link"), chunks("new"));
    expect(await readFile(output, "utf8")).toBe("new");
    expect((await readdir(folder)).sort()).toEqual(["link", "out.safetensors"]);
  });
});

async function* chunks(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield new TextEncoder().encode(text);
}
