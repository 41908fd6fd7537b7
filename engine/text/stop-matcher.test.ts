import { describe, expect, it } from "vitest";
import { StopMatcher } from "./stop-matcher.ts";
import { seededRandom } from "./testing/seeded-random.ts";
import { TextStream } from "./text-stream.ts";

/** The law: look at the whole text at once. */
function naive(text: string, stops: readonly string[]) {
  for (let at = 0; at < text.length; at++) {
    const here = stops.filter((stop) => text.startsWith(stop, at)).sort((a, b) => b.length - a.length);
    if (here[0] !== undefined) return { text: text.slice(0, at), stopped: here[0] };
  }
  return { text, stopped: undefined };
}

/** The same through a matcher, a new one restored from `pending` for each piece. */
function inPieces(pieces: readonly string[], stops: readonly string[]) {
  let text = "";
  let pending = "";
  for (const piece of pieces) {
    const matcher = new StopMatcher(stops, pending);
    const released = matcher.push(piece);
    text += released.text;
    if (
      /[\ud800-\udbff]$/.test(released.text) &&
      released.stopped === undefined &&
      isPairNext(matcher, piece)
    ) {
      expect.fail(`half a pair was released: ${JSON.stringify([pieces, stops])}`);
    }
    if (released.stopped !== undefined) return { text, stopped: released.stopped };
    pending = matcher.pending;
  }
  const last = new StopMatcher(stops, pending).flush();
  return { text: text + last.text, stopped: last.stopped };
}

const isPairNext = (matcher: StopMatcher, piece: string) =>
  /^[\udc00-\udfff]/.test(matcher.pending) || /[\ud800-\udbff]$/.test(piece);

/** How many characters `work` makes strings search, compare or copy. */
function charactersRead(work: () => void): number {
  const { indexOf, slice, startsWith } = String.prototype;
  let read = 0;
  const counting = {
    indexOf(this: string, ...args: Parameters<typeof indexOf>) {
      read += this.length;
      return indexOf.apply(this, args);
    },
    slice(this: string, ...args: Parameters<typeof slice>) {
      const part = slice.apply(this, args);
      read += part.length;
      return part;
    },
    startsWith(this: string, ...args: Parameters<typeof startsWith>) {
      read += args[0].length;
      return startsWith.apply(this, args);
    },
  };
  Object.assign(String.prototype, counting);
  try {
    work();
  } finally {
    Object.assign(String.prototype, { indexOf, slice, startsWith });
  }
  return read;
}

describe("StopMatcher", () => {
  it("cuts random texts where the whole text would be cut, wherever the pieces end", () => {
    const random = seededRandom(3);
    const letters = ["a", "b", "\n", "🎵", "🎶"];
    const word = (length: number) => Array.from({ length }, () => letters[random(letters.length)]).join("");
    let stopped = 0;
    for (let round = 0; round < 1500; round++) {
      const text = word(1 + random(8));
      const stops = Array.from({ length: random(4) }, () => word(1 + random(3)));
      const wanted = naive(text, stops);
      if (wanted.stopped !== undefined) stopped++;
      for (let a = 0; a <= text.length; a++) {
        for (let b = a; b <= text.length; b++) {
          const pieces = [text.slice(0, a), text.slice(a, b), text.slice(b)];
          const got = inPieces(pieces, stops);
          if (got.text !== wanted.text || got.stopped !== wanted.stopped) {
            expect.fail(JSON.stringify({ pieces, stops, wanted, got }));
          }
        }
      }
      expect(inPieces(text.split(""), stops)).toEqual(wanted);
    }
    expect(stopped).toBeGreaterThan(300);
  });

  it("holds back no more than could still be a stop string", () => {
    const matcher = new StopMatcher(["END", "NIGH"]);
    expect(matcher.push("THE EN")).toEqual({ text: "THE ", stopped: undefined });
    expect(matcher.pending).toBe("EN");
    expect(matcher.push("IGM")).toEqual({ text: "ENIGM", stopped: undefined });
    expect(matcher.pending).toBe("");
    expect(matcher.push("A")).toEqual({ text: "A", stopped: undefined });
  });

  it("prefers the earliest stop string, and of those that begin together the longest", () => {
    expect(new StopMatcher(["b", "ab"]).push("xaby")).toEqual({ text: "x", stopped: "ab" });
    expect(new StopMatcher(["\n", "\n\n"]).push("x\n\ny")).toEqual({ text: "x", stopped: "\n\n" });
    const matcher = new StopMatcher(["\n", "\n\n"]);
    expect(matcher.push("x\n")).toEqual({ text: "x", stopped: undefined });
    expect(matcher.push("y")).toEqual({ text: "", stopped: "\n" });
  });

  it("finds a stop string that is whole at the end of the text", () => {
    const matcher = new StopMatcher(["\n", "\n\n"]);
    matcher.push("x\n");
    expect(matcher.flush()).toEqual({ text: "", stopped: "\n" });
  });

  it("gives nothing after a stop", () => {
    const matcher = new StopMatcher(["."]);
    expect(matcher.push("a.b")).toEqual({ text: "a", stopped: "." });
    expect(matcher.push("c")).toEqual({ text: "", stopped: "." });
    expect(matcher.flush()).toEqual({ text: "", stopped: "." });
    expect(matcher.pending).toBe("");
  });

  it("never releases half of a surrogate pair", () => {
    const matcher = new StopMatcher([]);
    expect(matcher.push("a\ud83c").text).toBe("a");
    expect(matcher.push("\udfb5").text).toBe("🎵");
    expect(matcher.push("\ud83c").text + matcher.flush().text).toBe("\ud83c");
  });

  it("continues text that was held back for other stop strings", () => {
    const before = new StopMatcher(["END"]);
    before.push("THE EN");
    expect(new StopMatcher(["Nx"], before.pending).push("x")).toEqual({ text: "E", stopped: "Nx" });
  });

  it.each([[[""]], [["a", ""]], [["\ud83c"]], [["a\udfb5"]]])("refuses %j", (stops) => {
    expect(() => new StopMatcher(stops)).toThrowError(
      expect.objectContaining({ code: "invalid_argument", option: `stopSequences[${stops.length - 1}]` }),
    );
  });

  it("reads few characters again for a long stop string that nearly matches all the time", () => {
    const stop = `${"a".repeat(2000)}b`;
    const matcher = new StopMatcher([stop]);
    const pushes = 4000;
    let released = 0;
    const read = charactersRead(() => {
      for (let i = 0; i < pushes; i++) released += matcher.push("a").text.length;
    });
    expect(released).toBe(2000);
    // A few times what is held back, where each ending of it on its own would be a thousand times.
    expect(read).toBeGreaterThan(pushes);
    expect(read).toBeLessThan(6 * pushes * stop.length);
  });
});

describe("TextStream", () => {
  it("gives the text of the whole for random bytes and stop strings, saved and restored between all pushes", () => {
    const random = seededRandom(4);
    const parts = ["a", "é", "€", "🎵", "\n"].map((text) => [...new TextEncoder().encode(text)]);
    const invalid = [[0xff], [0xe2, 0x82], [0xf0, 0x9f], [0x80]];
    for (let round = 0; round < 3000; round++) {
      const pick = () => (random(8) === 0 ? invalid[random(invalid.length)]! : parts[random(parts.length)]!);
      const bytes = Uint8Array.from(Array.from({ length: 1 + random(6) }, pick).flat());
      const stops = ["aé", "🎵\n", "\ufffd€", "é", "\n\n"].filter(() => random(3) === 0);
      const wanted = naive(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes), stops);
      let stream = new TextStream(stops);
      const got = { text: "", stopped: undefined as string | undefined };
      for (let at = 0; at < bytes.length && got.stopped === undefined; ) {
        const next = at + 1 + random(3);
        const released = stream.push(bytes.subarray(at, next));
        got.text += released.text;
        got.stopped = released.stopped;
        stream = new TextStream(stops, stream.pending);
        at = next;
      }
      if (got.stopped === undefined) {
        const released = stream.flush();
        got.text += released.text;
        got.stopped = released.stopped;
      }
      if (got.text !== wanted.text || got.stopped !== wanted.stopped) {
        expect.fail(JSON.stringify({ bytes: [...bytes], stops, wanted, got }));
      }
    }
  });
});
