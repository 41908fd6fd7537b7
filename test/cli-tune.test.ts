import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cacheFolders } from "../engine/platform/node/cache-folder.ts";
import { resonant } from "./cli.ts";

let cache: string;
const FILE = "tuning.json";
const CHECKED = "agreement.json";
const file = (): string => join(cache, FILE);
const run = (...args: string[]) => resonant(args, { env: { RESONANT_CACHE: cache } });

/** Returns the JSON that a command printed; checks that it warned of nothing. */
async function json(...args: string[]) {
  const { code, out, err } = await run(...args, "--json");
  expect(err).toBe("");
  expect(code).toBe(0);
  return JSON.parse(out);
}

/** A copy of the machine's cache without what was found on devices, so that no driver is downloaded again. */
beforeAll(async () => {
  cache = await mkdtemp(join(tmpdir(), "resonant-cli-tune-"));
  for (const folder of cacheFolders()) {
    for (const name of await readdir(folder).catch(() => [])) {
      if (name !== FILE && name !== CHECKED)
        await symlink(join(folder, name), join(cache, name)).catch(() => undefined);
    }
  }
});
afterAll(() => rm(cache, { recursive: true }));

describe("resonant tune", () => {
  it("measures, stores the tuning that it prints, and deletes it", async () => {
    const tuned = await json("tune");
    expect(tuned).toMatchObject({
      adapter: (await json("devices"))[0].name,
      model: "resonant-shakespeare",
      timed: expect.stringMatching(/^(gpu|host)$/),
      file: file(),
      standard: { share: expect.any(Number), products: expect.any(Number), many_rows: expect.any(Number) },
    });
    const [{ tuning, ...identity }] = JSON.parse(await readFile(file(), "utf8")).tunings;
    const { share, products, manyRows } = tuning;
    expect(tuned.tuning).toEqual({ share, products, many_rows: manyRows });
    for (const choice of ["share", "many_rows"]) {
      expect(tuned.measured.filter((of: { choice: string }) => of.choice === choice)).not.toHaveLength(0);
    }
    const forget = { adapter: tuned.adapter, forgotten: true };
    expect(await json("tune", "--forget")).toEqual(forget);
    expect(await json("tune", "--forget")).toEqual({ ...forget, forgotten: false });
    expect(JSON.parse(await readFile(file(), "utf8")).tunings).toEqual([]);
    const checked = join(cache, CHECKED);
    await writeFile(checked, JSON.stringify({ agreements: [{ ...identity, differing: [] }] }));
    expect(await json("tune", "--forget")).toEqual(forget);
    expect(JSON.parse(await readFile(checked, "utf8")).agreements).toEqual([]);
  });

  it("prints the choices and their times in words", async () => {
    const { code, out, err } = await run("tune");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toMatch(/^choice +products +µs, f32 +f16$/m);
    expect(out).toMatch(/^lanes that share loads +1 row, 0 lanes +[\d.]+ +[\d.]+$/m);
    expect(out).toMatch(/^least number of streams for tiles +\d+ +\d+$/m);
    expect(out).toContain(`remembered in ${file()}`);
  });

  it("a damaged file gives a warning, and the model still loads", async () => {
    await writeFile(file(), "{");
    const { code, out, err } = await run("info", "--json");
    expect(code).toBe(0);
    expect(JSON.parse(out).model_name).toBe("resonant-shakespeare");
    expect(err).toContain(file());
  });
});
