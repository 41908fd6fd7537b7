import { expect, it } from "vitest";
import { TokenOffsets } from "./token-offsets.ts";

/** Offsets of tokens given as bytes. */
function offsetsOf(...tokens: number[][]): number[] {
  const offsets = new TokenOffsets();
  return tokens.map((bytes) => offsets.next(Uint8Array.from(bytes)));
}

it("counts characters, and gives the bytes of one the same offset", () => {
  const euro = [0xe2, 0x82, 0xac];
  expect(offsetsOf([97], ...euro.map((byte) => [byte]), [98], [0xf0, 0x9f], [0x99, 0x82, 99], [100])).toEqual(
    [0, 1, 1, 1, 2, 3, 3, 5],
  );
  expect(offsetsOf([], [97, 98], [], [99])).toEqual([0, 0, 2, 2]);
});

it("counts bytes that break off as a character before the token that shows it", () => {
  expect(offsetsOf([0xe2], [0x82], [10], [87], [104])).toEqual([0, 0, 1, 2, 3]);
  expect(offsetsOf([0xe2, 0x82], [0xc3], [0xa9], [97])).toEqual([0, 1, 1, 2]);
  expect(offsetsOf([0xe2, 0x82], [0xff], [97])).toEqual([0, 1, 2]);
  // U+FFFD itself, written byte by byte, is one character.
  expect(offsetsOf([0xef], [0xbf], [0xbd], [97])).toEqual([0, 0, 0, 1]);
});

it("begins a new text behind a character that is not finished", () => {
  const offsets = new TokenOffsets();
  offsets.next(Uint8Array.of(226));
  offsets.next(Uint8Array.of(130));
  offsets.end();
  expect(offsets.next(Uint8Array.of(0xac))).toBe(1);
});
