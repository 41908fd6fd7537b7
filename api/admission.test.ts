import { describe, expect, it } from "vitest";
import { Admission, type Ticket } from "./admission.ts";

/** Whether a ticket has its turn by now. */
async function running(ticket: Ticket): Promise<boolean> {
  const soon = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 5));
  return Promise.race([ticket.turn().then(() => true), soon]);
}

describe("admission", () => {
  it("lets those who wait run in the order they came", async () => {
    const admission = new Admission(1, 3);
    const tickets = admission.admit("me", 1).concat(admission.admit("me", 2), admission.admit("me", 1));
    const order: number[] = [];
    const turns = tickets.map((ticket, i) => ticket.turn().then(() => order.push(i)));
    for (const [i, ticket] of tickets.entries()) {
      await turns[i];
      expect(order).toEqual(Array.from({ length: i + 1 }, (_, n) => n));
      expect([admission.running, admission.waiting]).toEqual([1, 3 - i]);
      ticket.leave();
    }
    expect([admission.running, admission.waiting]).toEqual([0, 0]);
  });

  it("gives clients turns, however many of one client's wait", async () => {
    const admission = new Admission(1, 5);
    const order: string[] = [];
    const all = [...admission.admit("busy", 4), ...admission.admit("modest", 2)].map(async (ticket, i) => {
      await ticket.turn();
      order.push(i < 4 ? "b" : "m");
      ticket.leave();
    });
    await Promise.all(all);
    expect(order.join("")).toBe("bbmbmb");
  });

  it("refuses who would have to wait where the queue is full, and says when to come again", () => {
    const admission = new Admission(2, 1);
    admission.admit("me", 1);
    admission.admit("me", 2);
    expect([admission.running, admission.waiting]).toEqual([2, 1]);
    for (const count of [1, 2]) {
      expect(() => admission.admit("me", count)).toThrowError(
        expect.objectContaining({
          kind: "resource_error",
          message: "too many requests are waiting",
          headers: { "Retry-After": expect.stringMatching(/^\d+$/) },
        }),
      );
    }
    expect([admission.running, admission.waiting]).toEqual([2, 1]);
    expect(() => new Admission(2, 0).admit("me", 3)).toThrow("too many requests are waiting");
    expect(new Admission(2, 0).admit("me", 2)).toHaveLength(2);
  });

  it("lets a request wait as one, however many tickets it takes", async () => {
    const admission = new Admission(1, 2);
    const [first] = admission.admit("me");
    const many = admission.admit("me", 5);
    const [last] = admission.admit("me");
    expect(() => admission.admit("me")).toThrow("too many requests are waiting");
    expect(admission.waiting).toBe(6);
    first!.leave();
    for (const ticket of many.slice(0, 4)) ticket.leave();
    expect(await running(many[4]!)).toBe(true);
    expect(admission.waiting).toBe(1);
    admission.admit("me"); // one that waits, and room for another
    many[4]!.leave();
    expect(await running(last!)).toBe(true);
  });

  it("forgets who leaves the queue, and gives a ticket up once however often it is left", async () => {
    const admission = new Admission(1, 2);
    const [first, second, third] = admission.admit("me", 3);
    second!.leave();
    second!.leave();
    expect(admission.waiting).toBe(1);
    first!.leave();
    first!.leave();
    expect(await running(third!)).toBe(true);
    expect([admission.running, admission.waiting]).toEqual([1, 0]);
    third!.leave();
    expect(admission.running).toBe(0);
  });

  it("gives up the ticket of a signal that is aborted, before or while it waits", async () => {
    const admission = new Admission(1, 2);
    const [first, second, third] = admission.admit("me", 3);
    const gone = new Error("gone");
    await expect(second!.turn(AbortSignal.abort(gone))).rejects.toBe(gone);
    const controller = new AbortController();
    const turn = third!.turn(controller.signal);
    controller.abort(gone);
    await expect(turn).rejects.toBe(gone);
    expect([admission.running, admission.waiting]).toEqual([1, 0]);
    await expect(first!.turn(AbortSignal.abort(gone))).rejects.toBe(gone);
    expect(admission.running).toBe(0);
  });
});
