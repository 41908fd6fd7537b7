import { afterEach, describe, expect, it, vi } from "vitest";
import { Admission, type AdmissionLimits } from "./admission.ts";
import { Ring } from "./ring.ts";
import { Shares } from "./shares.ts";

const limits = (more: Partial<AdmissionLimits>): AdmissionLimits => ({
  running: 1,
  together: more.running ?? 1,
  requests: 256,
  choices: 10_000,
  ...more,
});

/** An admission, and the choices that have begun: each as its request's name and its index, with what ends it. */
function start(more: Partial<AdmissionLimits>) {
  const admission = new Admission(limits(more));
  const running = new Map<string, () => void>();
  const order: string[] = [];
  const admit = (client: string, count = 1, name = client) =>
    admission.admit(client, count, (index, end) => {
      order.push(`${name}${index}`);
      running.set(`${name}${index}`, end);
    });
  const end = (choice: string): void => {
    running.get(choice)!();
    running.delete(choice);
  };
  /** Ends whatever runs, the oldest first, until nothing does. */
  const finish = (): string => {
    for (let [next] = running.keys(); next !== undefined; [next] = running.keys()) end(next);
    return order.join(" ");
  };
  return { admission, admit, end, finish, order, running };
}

const counts = ({ running, waiting }: Admission) => [running, waiting];

const refusal = (message: string) =>
  expect.objectContaining({
    kind: "resource_error",
    message,
    headers: { "Retry-After": expect.stringMatching(/^\d+$/) },
  });

afterEach(() => vi.restoreAllMocks());

describe("admission", () => {
  it("lets a client's requests take turns in the order they came, and a request's choices in theirs", () => {
    const { admission, admit, finish } = start({});
    for (const [name, count] of [
      ["a", 1],
      ["b", 3],
      ["c", 2],
    ] as const) {
      admit("me", count, name);
    }
    expect(counts(admission)).toEqual([1, 5]);
    expect(finish()).toBe("a0 b0 c0 b1 c1 b2");
    expect(counts(admission)).toEqual([0, 0]);
  });

  it("gives clients turns, however many of one client's wait", () => {
    const { admit, finish } = start({});
    for (let i = 0; i < 3; i++) admit("busy", 2, `busy${i}-`);
    admit("modest", 2);
    expect(finish()).toBe("busy0-0 busy1-0 modest0 busy2-0 modest1 busy0-1 busy1-1 busy2-1");
  });

  it("runs no more choices at once than it may, and of one request no more than share the slots", () => {
    const { admission, admit, running, end } = start({ running: 5, together: 2 });
    for (const client of ["a", "b", "c"]) admit(client, 4);
    expect([...running.keys()]).toEqual(["a0", "a1", "b0", "b1", "c0"]);
    end("a0");
    expect([...running.keys()].at(-1)).toBe("c1");
    end("a1");
    expect([...running.keys()].at(-1)).toBe("a2");
    expect(admission.running).toBe(5);
  });

  it("makes nothing for a choice before its turn, and takes as many steps for 10,000 choices as for one", () => {
    const { admission, admit, order } = start({ running: 1, choices: 10_000 });
    admit("first");
    let steps = 0;
    for (const made of [Ring.prototype, Shares.prototype] as object[]) {
      for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(made))) {
        if (typeof value !== "function" || name === "constructor") continue;
        vi.spyOn(made as Record<string, () => unknown>, name).mockImplementation(function (
          this: unknown,
          ...given: unknown[]
        ) {
          steps++;
          return value.apply(this, given);
        });
      }
    }
    const taken = (work: () => void): number => {
      const before = steps;
      work();
      return steps - before;
    };
    const costs = [2, 9000].map((count) => {
      let leave = (): void => {};
      const admitting = taken(() => {
        leave = admit(`with ${count}`, count).leave;
      });
      expect(admission.waiting).toBe(count);
      const leaving = taken(leave);
      expect(admission.waiting).toBe(0);
      return { admitting, leaving };
    });
    expect(costs[1]).toEqual(costs[0]);
    expect(costs[0]!.admitting).toBeGreaterThan(0);
    expect(order).toEqual(["first0"]);
  });

  it("refuses who would have to wait where the queue is full, and says when to come again", () => {
    const { admission, admit } = start({ running: 2, requests: 1 });
    admit("me", 1, "a");
    admit("me", 2, "b");
    expect(counts(admission)).toEqual([2, 1]);
    for (const count of [1, 2]) {
      expect(() => admit("me", count)).toThrowError(refusal("too many requests are waiting"));
    }
    expect(counts(admission)).toEqual([2, 1]);
    const none = () => start({ running: 2, requests: 0 });
    expect(() => none().admit("me", 3)).toThrow("too many requests are waiting");
    expect(none().admit("me", 2).waiting).toBe(0);
  });

  it("counts a waiting request once, whatever its number of choices, and bounds the choices too", () => {
    const { admission, admit, end } = start({ requests: 2, choices: 7 });
    admit("me", 1, "a");
    admit("me", 5, "b");
    expect(() => admit("you", 3)).toThrowError(refusal("too many choices are waiting for this one's 3"));
    admit("you", 2, "c");
    expect(() => admit("you")).toThrowError(refusal("too many requests are waiting"));
    expect(admission.waiting).toBe(7);
    end("a0");
    expect(counts(admission)).toEqual([1, 6]);
  });

  it("leaves room for others in the queue, however much one client sends", () => {
    const { admission, admit } = start({ running: 16 });
    let sent = 0;
    const flood = (count: number): void => {
      for (;;) {
        admit("greedy", count, `g${sent}-`);
        sent++;
      }
    };
    expect(() => flood(256)).toThrowError(
      refusal("too many choices of this client are waiting for this one's 256"),
    );
    expect(sent).toBeLessThan(40);
    admit("greedy", 1); // a small one still has room
    expect(() => flood(1)).toThrowError(refusal("too many requests of this client are waiting"));
    expect(sent).toBeGreaterThan(200);
    admit("modest", 1);
    admit("modest", 16);
    expect(admission.waiting).toBeLessThanOrEqual(10_000);
  });

  it("keeps a part of many places for those who come later, and gives it to who waited for its share", () => {
    const { admission, admit, order, end } = start({ running: 90, together: 4, requests: 256 });
    for (let i = 0; i < 100; i++) admit("greedy", 1, `g${i}-`);
    expect(counts(admission)).toEqual([80, 20]);
    admit("modest", 3);
    expect(order.slice(80)).toEqual(["modest0", "modest1", "modest2"]);
    for (let i = 0; i < 40; i++) end(`g${i}-0`);
    expect(order.slice(83)).toEqual(Array.from({ length: 20 }, (_, i) => `g${80 + i}-0`));
  });

  it("forgets who leaves the queue, and ends a choice once however often it is ended", () => {
    const { admission, admit, running } = start({ requests: 3 });
    const first = admit("me", 3, "a");
    const second = admit("me", 1, "b");
    admit("me", 1, "c");
    second.leave();
    second.leave();
    expect([admission.waiting, second.waiting, first.waiting]).toEqual([3, 0, 2]);
    first.leave(); // what of it runs goes on
    expect(counts(admission)).toEqual([1, 1]);
    running.get("a0")!();
    running.get("a0")!();
    expect([...running.keys()]).toEqual(["a0", "c0"]);
    expect(counts(admission)).toEqual([1, 0]);
    running.get("c0")!();
    expect(admission.running).toBe(0);
  });

  it("gives up the turn of a signal that is aborted, before or while it waits", async () => {
    const admission = new Admission(limits({}));
    const gone = new Error("gone");
    await expect(admission.turn("me", AbortSignal.abort(gone))).rejects.toBe(gone);
    expect(admission.running).toBe(0);
    const end = await admission.turn("me", new AbortController().signal);
    const controller = new AbortController();
    const turn = admission.turn("me", controller.signal);
    const next = admission.turn("me", new AbortController().signal);
    controller.abort(gone);
    await expect(turn).rejects.toBe(gone);
    expect(counts(admission)).toEqual([1, 1]);
    end();
    await next;
    expect(counts(admission)).toEqual([1, 0]);
    const full = new Admission(limits({ requests: 0 }));
    await full.turn("me", controller.signal.aborted ? new AbortController().signal : controller.signal);
    await expect(full.turn("me", new AbortController().signal)).rejects.toThrow("too many requests");
  });
});
