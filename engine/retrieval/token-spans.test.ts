import { describe, expect, it } from "vitest";
import { TokenSpans } from "./token-spans.ts";

/** The texts of tokens `pieces`, one after another, as they are found in `text`. */
function places(text: string, pieces: readonly (string | readonly number[])[]): string[] {
  const bytes = pieces.map((piece) =>
    typeof piece === "string" ? new TextEncoder().encode(piece) : Uint8Array.from(piece),
  );
  const spans = new TokenSpans(text, [...bytes.keys()], (token) => bytes[token]!);
  return pieces.map((_, first) => text.slice(...spans.span(first, 1)));
}

describe("the places of tokens in their text", () => {
  it("are those of their bytes", () => {
    expect(places("né 🌊!", ["n", "é", " ", "🌊!"])).toEqual(["n", "é", " ", "🌊!"]);
  });

  it("are widened to whole characters", () => {
    const wave = [...new TextEncoder().encode("🌊")];
    expect(places("a🌊b", ["a", wave.slice(0, 1), wave.slice(1, 3), wave.slice(3), "b"])).toEqual([
      "a",
      "🌊",
      "🌊",
      "🌊",
      "b",
    ]);
  });

  it("leave out a space that the tokenizer put before the text", () => {
    expect(places("The sea", [" The", " sea"])).toEqual(["The", " sea"]);
  });

  it("give what no token stands for to the token before", () => {
    expect(places("ab☃cd", ["a", "b", "c", "d"])).toEqual(["a", "b☃", "c", "d"]);
  });

  it("give a token without text all that lies before the next", () => {
    expect(places("a<end>in", ["a", "", "in"])).toEqual(["a", "<end>", "in"]);
    expect(places("a<end>", ["a", ""])).toEqual(["a", "<end>"]);
  });

  it("go on as long as their bytes are where nothing agrees", () => {
    expect(places("THE sea", ["the", " ", "sea"])).toEqual(["THE", " ", "sea"]);
  });

  it("do not mind half a surrogate pair", () => {
    expect(places("a\ud83cb", ["a", "\ufffd", "b"])).toEqual(["a", "\ud83c", "b"]);
  });
});
