import { describe, expect, it } from "vitest";
import { Shares } from "./shares.ts";

/** Takes one at a time for a client until no more fits. */
function fill(shares: Shares, client: string, amount = 1): number {
  let taken = 0;
  for (; shares.fits(client, amount); taken += amount) shares.take(client, amount);
  return taken;
}

describe("shares", () => {
  it("let one client take eight times what it leaves, and the next one eight times what is left then", () => {
    const shares = new Shares(9000);
    expect(fill(shares, "a")).toBe(8000);
    const second = fill(shares, "b");
    expect(second).toBeGreaterThan(880);
    expect(shares.total).toBeLessThan(9000);
    shares.give("a", 8000);
    expect(fill(shares, "b")).toBeGreaterThan(6000);
  });

  it("refuse who asks for much before who asks for little", () => {
    const shares = new Shares(9000);
    fill(shares, "a", 300);
    expect([shares.fits("a", 300), shares.fits("a", 1), shares.fits("b", 300)]).toEqual([false, true, true]);
  });

  it("give each client a few in any case, but never more than there is", () => {
    const shares = new Shares(10, 4);
    fill(shares, "a");
    expect(fill(shares, "b")).toBeGreaterThan(0);
    fill(shares, "c");
    expect(shares.total).toBe(10);
    expect(new Shares(3, 4).fits("a", 4)).toBe(false);
    shares.give("b", 1);
    expect([shares.total, shares.holds("b")]).toEqual([9, false]);
  });
});
