import { describe, expect, it } from "vitest";
import { ResonantError } from "../../common/errors.ts";
import { FIXTURES, fixture, readAll } from "../../weights/testing/fixtures.ts";
import { seeded } from "../../weights/testing/pickle-assembler.ts";
import { mutateBytes } from "./mutate.ts";
import { fuzz } from "./rounds.ts";

/** Undefined if it was read, the message if it was refused on purpose; anything else fails the test. */
async function outcome(bytes: Uint8Array, name: string): Promise<string | undefined> {
  try {
    // Tied and shared tensors may repeat a file's bytes a few times, and no more.
    expect(await readAll(bytes, name)).toBeLessThan(8 * bytes.length + 1024);
    return undefined;
  } catch (error) {
    if (error instanceof ResonantError) return error.message;
    throw error;
  }
}

describe.each(FIXTURES)("%s", (name) => {
  const whole = fixture(name);

  it("is refused, wherever it is cut off", async () => {
    const random = seeded(1);
    const cuts = Array.from({ length: 150 }, () => Math.floor(random() * whole.length));
    for (const cut of [0, 1, 7, 8, 9, 511, 512, whole.length - 22, whole.length - 1, ...cuts]) {
      const message = await outcome(whole.slice(0, cut), name);
      expect(message, `cut at ${cut}`).toMatch(name);
    }
  });

  it("is refused or read, and never anything else, with any one byte changed", async () => {
    const random = seeded(2);
    for (let i = 0; i < 300; i++) {
      // Half of them near the start, where the header or the pickle is.
      const reach = i % 2 ? whole.length : Math.min(whole.length, 6000);
      const bytes = whole.slice();
      bytes[Math.floor(random() * reach)]! ^= 1 + Math.floor(random() * 255);
      await outcome(bytes, name);
    }
  });

  it("is refused or read with any one byte of its last kilobytes changed", async () => {
    const random = seeded(3);
    for (let i = 0; i < 200; i++) {
      const bytes = whole.slice();
      const at = Math.max(0, whole.length - 1 - Math.floor(random() * 5000));
      bytes[at] = Math.floor(random() * 256);
      await outcome(bytes, name);
    }
  });

  it("is refused or read with parts changed, cut out or written twice", () =>
    fuzz(100, (random) => readAll(mutateBytes(whole, random), name)));
});
