import { describe, expect, it } from "vitest";
import { seededRandom } from "./testing/seeded-random.ts";
import { Utf8Decoder } from "./utf8-decoder.ts";

const whole = (bytes: Uint8Array) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);

describe("Utf8Decoder", () => {
  it("gives TextDecoder's text for random bytes cut at random, a new decoder restored at every cut", () => {
    const random = seededRandom(1);
    // Bytes at the edges of what UTF-8 allows, far likelier to meet than in 256 even ones.
    const edges = [0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1];
    edges.push(0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff, 0xbb, 0xbe);
    for (let round = 0; round < 20_000; round++) {
      const bytes = Uint8Array.from({ length: 1 + random(12) }, () => edges[random(edges.length)]!);
      let text = "";
      let pending = new Uint8Array();
      for (let at = 0; at < bytes.length; ) {
        const decoder = new Utf8Decoder(pending);
        const next = at + random(4);
        text += decoder.push(bytes.subarray(at, next));
        pending = new Uint8Array(decoder.pending);
        expect(pending.length).toBeLessThanOrEqual(3);
        at = next;
      }
      text += new Utf8Decoder(pending).flush();
      if (text !== whole(bytes)) expect.fail(`${[...bytes]}: ${JSON.stringify(text)}`);
    }
  });

  it("agrees with a streaming TextDecoder after every byte of every pair and of sampled quadruples", () => {
    const check = (bytes: number[]) => {
      const ours = new Utf8Decoder();
      const theirs = new TextDecoder("utf-8", { ignoreBOM: true });
      for (const byte of bytes) {
        const a = ours.push(Uint8Array.of(byte));
        const b = theirs.decode(Uint8Array.of(byte), { stream: true });
        if (a !== b) expect.fail(`${bytes}: ${JSON.stringify([a, b])}`);
      }
    };
    for (let a = 0x7f; a < 256; a++) for (let b = 0x7f; b < 256; b++) check([a, b]);
    const random = seededRandom(2);
    for (let i = 0; i < 20_000; i++)
      check([0xe0 + random(22), ...Array.from({ length: 3 }, () => 0x70 + random(144))]);
  });

  it("holds back a character until its last byte, then gives it whole", () => {
    const decoder = new Utf8Decoder();
    const [a, b, c, d] = new TextEncoder().encode("🎵");
    expect([a, b, c].map((byte) => decoder.push(Uint8Array.of(byte!)))).toEqual(["", "", ""]);
    expect([...decoder.pending]).toEqual([a, b, c]);
    expect(decoder.push(Uint8Array.of(d!))).toBe("🎵");
    expect(decoder.pending).toHaveLength(0);
  });

  it("keeps a byte order mark", () => {
    expect(new Utf8Decoder().push(new TextEncoder().encode("\ufeffa"))).toBe("\ufeffa");
  });

  it("lends nobody its own bytes", () => {
    const mine = Uint8Array.of(0xe2, 0x82);
    const decoder = new Utf8Decoder(mine);
    mine[0] = 0;
    decoder.pending[0] = 0;
    expect(decoder.push(Uint8Array.of(0xac))).toBe("€");
  });

  it.each([[[0x41]], [[0xff]], [[0x80]], [[0xe2, 0x82, 0xac]], [[0xed, 0xa0]], [[0xf0, 0x9f, 0x8e, 0xb5]]])(
    "refuses %j as undecoded bytes",
    (bytes) => {
      expect(() => new Utf8Decoder(Uint8Array.from(bytes))).toThrowError(
        expect.objectContaining({ code: "state" }),
      );
    },
  );
});
