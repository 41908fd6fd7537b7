import { describe, expect, it } from "vitest";
import { EventBuffer } from "./event-buffer.ts";

const soon = () => new Promise((resolve) => setImmediate(resolve));
const text = async (buffer: EventBuffer): Promise<string | undefined> => {
  const bytes = await buffer.take();
  return bytes && new TextDecoder().decode(bytes);
};
const here = new AbortController().signal;

describe("event buffer", () => {
  it("gives what it was given, together where it waited, and then the end", async () => {
    const buffer = new EventBuffer(100);
    const first = text(buffer);
    await soon();
    expect(buffer.caughtUp).toBe(true);
    buffer.push("ä");
    expect(await first).toBe("ä");
    buffer.push("b");
    buffer.push("c");
    expect([buffer.bytes, buffer.taken]).toEqual([2, 2]);
    expect(await text(buffer)).toBe("bc");
    const last = text(buffer);
    buffer.end();
    buffer.push("forgotten");
    expect(await last).toBeUndefined();
    expect([buffer.bytes, buffer.taken, buffer.ended]).toEqual([0, 4, true]);
  });

  it("holds who writes while it is full, until some of it is taken or who writes gives up", async () => {
    const buffer = new EventBuffer(20_000);
    let written = 0;
    const write = async (signal: AbortSignal): Promise<void> => {
      for (;;) {
        buffer.push("x".repeat(1000));
        written++;
        await buffer.room(signal);
      }
    };
    const gone = new AbortController();
    const writing = write(gone.signal);
    await soon();
    expect([written, buffer.full, buffer.bytes]).toEqual([20, true, 20_000]);
    expect((await buffer.take())!.length).toBe(17_000); // as many as fill 16 KiB
    await soon();
    expect([written, buffer.bytes]).toEqual([37, 20_000]);
    gone.abort(new Error("it gives up"));
    await expect(writing).rejects.toThrow("it gives up");
    await new EventBuffer(1).room(here);
  });

  it("drops what waits when it is cut, and ends with a last text", async () => {
    const buffer = new EventBuffer(10);
    buffer.push("this will not come");
    buffer.end();
    buffer.cut("the end");
    buffer.push("nor this");
    expect(buffer.isCut).toBe(true);
    expect(await text(buffer)).toBe("the end");
    expect(await text(buffer)).toBeUndefined();
  });
});
