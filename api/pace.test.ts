import { describe, expect, it } from "vitest";
import { Pace } from "./pace.ts";

/** Sees a reader every five seconds, with what it has taken by then; what is found, and when. */
function watch(taken: (seconds: number) => number, caughtUp = (_: number): boolean => false) {
  const pace = new Pace({ idle: 30, rate: 100 }, 0);
  for (let now = 5; now <= 600; now += 5) {
    const fault = pace.see({ now, taken: taken(now), caughtUp: caughtUp(now) });
    if (fault) return `${fault} after ${now}`;
  }
  return undefined;
}

describe("pace of a reader", () => {
  it("is idle only without a byte for the whole time-out", () => {
    expect(watch(() => 0)).toBe("idle after 30");
    expect(watch((now) => 10_000 * Math.min(now, 100))).toBe("idle after 130");
    expect(watch((now) => 10_000 * Math.floor(now / 25))).toBeUndefined();
  });

  it("is slow below the least rate over a minute, not over less", () => {
    expect(watch((now) => 99 * now)).toBe("slow after 60");
    expect(watch((now) => 100 * now)).toBeUndefined();
    expect(watch((now) => (now < 240 ? 1000 * now : 240_000 + 50 * (now - 240)))).toBe("slow after 300");
    expect(watch((now) => 3000 * Math.floor((now + 10) / 30))).toBeUndefined();
  });

  it("does not blame a reader for what there is not to read", () => {
    expect(
      watch(
        () => 7,
        () => true,
      ),
    ).toBeUndefined();
    expect(
      watch(
        (now) => now,
        (now) => now % 50 === 0,
      ),
    ).toBeUndefined();
    expect(
      watch(
        (now) => now,
        (now) => now < 100,
      ),
    ).toBe("slow after 155");
  });
});
