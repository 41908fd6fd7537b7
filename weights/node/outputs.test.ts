import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { cannotWrite, writeFileAtomically } from "./file.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "resonant-outputs-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function* chunks(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield new TextEncoder().encode(text);
}

it.skipIf(process.platform === "win32")(
  "writes to a named pipe, also by a link, and never replaces it",
  async () => {
    const [pipe, link] = [join(folder, "pipe"), join(folder, "link")];
    await promisify(execFile)("mkfifo", [pipe]);
    await symlink(pipe, link);
    for (const path of [pipe, link]) {
      const read = readFile(pipe, "utf8");
      expect(await writeFileAtomically(path, chunks("a state", ", whole"))).toBe(14);
      expect(await read).toBe("a state, whole");
      expect((await stat(pipe)).isFIFO()).toBe(true);
    }
  },
);

it.skipIf(process.platform === "win32")("does not even open a pipe that the caller refuses", async () => {
  const pipe = join(folder, "refused");
  await promisify(execFile)("mkfifo", [pipe]);
  const refuse = async () => {
    throw new Error("refused");
  };
  await expect(writeFileAtomically(pipe, chunks("a"), refuse)).rejects.toThrow("refused");
  expect((await stat(pipe)).isFIFO()).toBe(true);
});

it("refuses a folder, and replaces a file", async () => {
  await expect(writeFileAtomically(folder, chunks("a"))).rejects.toThrow(
    /cannot be written: it is a directory/,
  );
  const file = join(folder, "file");
  await writeFile(file, "before");
  await writeFileAtomically(file, chunks("after"));
  expect(await readFile(file, "utf8")).toBe("after");
});

it("says in words why an output cannot be written", () => {
  const full = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
  expect(cannotWrite("standard output", full).message).toBe(
    "standard output: cannot be written: the disk is full",
  );
});
