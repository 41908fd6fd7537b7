import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "@redis/client";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { lackingRedis, startRedis, type TestRedis } from "../../test/redis.ts";
import { ApiError } from "../errors.ts";
import { createLogger } from "../log.ts";
import { MemorySessionStore } from "./memory-store.ts";
import { RedisSessionStore } from "./redis-store.ts";
import type { SessionRecord, SessionStore, StoreOptions } from "./session-store.ts";

const LASTING = { ttl: 600_000, most: 100 };

const record = (more: Partial<SessionRecord> = {}): SessionRecord => ({
  turn: 1,
  position: 20,
  fingerprint: "f".repeat(64),
  text: "text",
  state: Uint8Array.of(1, 2, 3),
  ...more,
});

let redis: TestRedis;
const log: string[] = [];
const opened: SessionStore[] = [];

const openRedis = async (options: StoreOptions & { lease?: number } = LASTING, url = redis.url) => {
  const logger = createLogger({ logFormat: "text", logLevel: "info" }, { write: (line) => log.push(line) });
  const store = await RedisSessionStore.open({ ...options, url, log: logger });
  opened.push(store);
  return store;
};

const openMemory = async (options: StoreOptions = LASTING) => {
  const store = new MemorySessionStore(options);
  opened.push(store);
  return store;
};

afterEach(() => {
  for (const store of opened.splice(0)) store.close();
});

const implementations = [
  { name: "in memory", open: openMemory, lacking: "" },
  { name: "in Redis", open: openRedis, lacking: lackingRedis },
];

describe.skipIf(lackingRedis !== "")(`Redis${lackingRedis}`, () => {
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis?.stop());
  shared(implementations[1]!);
  alone();
});
shared(implementations[0]!);

/** What every store does. */
function shared({ name, open }: { name: string; open: (options?: StoreOptions) => Promise<SessionStore> }) {
  describe(`a session ${name}`, () => {
    let owner: string;

    beforeEach(() => {
      owner = randomBytes(8).toString("hex");
    });

    it("comes back as it was put, every byte of it, and is told of the same way", async () => {
      const store = await open();
      const before = Date.now();
      const state = Uint8Array.from({ length: 70_000 }, (_, i) => i % 256);
      const whole = record({ turn: 7, position: 2 ** 40, text: "née\n\0🙂", state });
      const info = await store.put(owner, "a:b.c_d-1", whole, undefined);
      const { version, ...session } = (await store.get(owner, "a:b.c_d-1"))!;
      expect(session).toMatchObject({ ...whole, name: "a:b.c_d-1", bytes: 70_000 });
      expect(Buffer.compare(session.state, state)).toBe(0);
      expect(version).not.toBe("");
      const { text: _text, state: _state, expires: _expires, ...told } = session;
      expect(info).toMatchObject(told);
      const [listed] = await store.list(owner, undefined, 10);
      expect(listed).toEqual({ ...told, expires: session.expires });
      expect(told.created).toBeGreaterThanOrEqual(before);
      expect(told.updated).toBe(told.created);
      expect(session.expires).toBeGreaterThanOrEqual(told.updated + LASTING.ttl);
    });

    it("keeps what it was given, whatever becomes of those bytes", async () => {
      const store = await open();
      const state = Uint8Array.of(1, 2, 3);
      await store.put(owner, "a", record({ state }), undefined);
      state.fill(9);
      (await store.get(owner, "a"))!.state.fill(8);
      expect((await store.get(owner, "a"))?.state).toEqual(Uint8Array.of(1, 2, 3));
    });

    it("is written only over the version that its writer has read", async () => {
      const store = await open();
      expect(await store.put(owner, "a", record(), "some version")).toBe("changed");
      expect(await store.get(owner, "a")).toBeUndefined();
      const first = await store.put(owner, "a", record(), undefined);
      expect(await store.put(owner, "a", record(), undefined)).toBe("changed");
      const { version } = (await store.get(owner, "a"))!;
      await sleep(2);
      const second = await store.put(owner, "a", record({ turn: 2 }), version);
      expect(await store.put(owner, "a", record({ turn: 3 }), version)).toBe("changed");
      if (typeof first === "string" || typeof second === "string") throw new Error("nothing was written");
      expect(second).toMatchObject({ turn: 2, created: first.created });
      expect(second.updated).toBeGreaterThan(first.updated);
      expect((await store.get(owner, "a"))?.turn).toBe(2);
    });

    it("is written by one of many who write at once", async () => {
      const store = await open();
      const race = async (expected: string | undefined) => {
        const put = (_: unknown, turn: number) => store.put(owner, "a", record({ turn }), expected);
        const results = await Promise.all(Array.from({ length: 20 }, put));
        return results.filter((result) => typeof result !== "string");
      };
      const created = await race(undefined);
      expect(created).toHaveLength(1);
      const { version, turn } = (await store.get(owner, "a"))!;
      expect(created[0]).toMatchObject({ turn });
      expect(await race(version)).toHaveLength(1);
    });

    it("has a new version when it was deleted and made again", async () => {
      const store = await open();
      await store.put(owner, "a", record(), undefined);
      const { version } = (await store.get(owner, "a"))!;
      expect(await store.delete(owner, "a")).toBe("deleted");
      expect(await store.delete(owner, "a")).toBe("missing");
      expect(await store.get(owner, "a")).toBeUndefined();
      expect(await store.put(owner, "a", record(), version)).toBe("changed");
      await store.put(owner, "a", record(), undefined);
      expect(await store.put(owner, "a", record(), version)).toBe("changed");
    });

    it("is not deleted while somebody has its lease", async () => {
      const store = await open();
      await store.put(owner, "a", record(), undefined);
      const lease = await store.lease(owner, "a");
      expect(await store.delete(owner, "a")).toBe("leased");
      expect(await store.get(owner, "a")).toBeDefined();
      await lease!.release();
      expect(await store.delete(owner, "a")).toBe("deleted");
    });

    it("is one of at most so many of its owner's, even where many are made at once", async () => {
      const store = await open({ ...LASTING, most: 3 });
      const names = Array.from({ length: 10 }, (_, i) => `s${i}`);
      const results = await Promise.all(names.map((name) => store.put(owner, name, record(), undefined)));
      expect(results.filter((result) => result === "full")).toHaveLength(7);
      expect(await store.count(owner)).toBe(3);
      const [kept] = await store.list(owner, undefined, 10);
      const { version } = (await store.get(owner, kept!.name))!;
      expect(await store.put(owner, kept!.name, record({ turn: 2 }), version)).toMatchObject({ turn: 2 });
      expect(await store.put(`${owner}2`, "s0", record(), undefined)).toMatchObject({ name: "s0" });
      await store.delete(owner, kept!.name);
      expect(await store.put(owner, "another", record(), undefined)).toMatchObject({ name: "another" });
    });

    it("is seen by its owner alone", async () => {
      const store = await open();
      const other = `${owner}2`;
      await store.put(owner, "a", record({ text: "one's" }), undefined);
      expect(await store.get(other, "a")).toBeUndefined();
      expect(await store.list(other, undefined, 10)).toEqual([]);
      expect(await store.delete(other, "a")).toBe("missing");
      await store.put(other, "a", record({ text: "the other's" }), undefined);
      const leases = [await store.lease(owner, "a"), await store.lease(other, "a")];
      for (const lease of leases) await lease!.release();
      expect((await store.get(owner, "a"))?.text).toBe("one's");
    });

    it("is listed by name, in pages that miss none", async () => {
      const store = await open();
      const names = ["Z", "a", "a-", "a.b", "a1", "aB", "ab", "a:", "0", "z"];
      for (const name of names) await store.put(owner, name, record(), undefined);
      const listed: string[] = [];
      for (let after: string | undefined; listed.length < names.length; after = listed.at(-1)) {
        const page = await store.list(owner, after, 3);
        if (page.length === 0) break;
        listed.push(...page.map((session) => session.name));
      }
      expect(listed).toEqual([...names].sort());
      expect(await store.list(owner, "z", 3)).toEqual([]);
      expect((await store.list(owner, "a0", 1))[0]?.name).toBe("a1"); // after a name that is none
    });

    it("is forgotten when its time after the last use is over, and counts no more", async () => {
      const store = await open({ ttl: 1500, most: 2 });
      for (const name of ["read", "left"]) await store.put(owner, name, record(), undefined);
      for (let i = 0; i < 6; i++) {
        await sleep(300);
        expect(await store.get(owner, "read")).toBeDefined();
      }
      expect((await store.list(owner, undefined, 10)).map(({ name }) => name)).toEqual(["read"]);
      expect(await store.count(owner)).toBe(1);
      expect(await store.get(owner, "left")).toBeUndefined();
      expect(await store.put(owner, "next", record(), undefined)).toMatchObject({ name: "next" });
      await sleep(1800);
      expect(await store.list(owner, undefined, 10)).toEqual([]);
      expect(await store.get(owner, "read")).toBeUndefined();
    });

    it("does not expire while it is leased", async () => {
      const store = await open({ ttl: 1200, most: 2 });
      await store.put(owner, "a", record(), undefined);
      const lease = await store.lease(owner, "a");
      await sleep(2400);
      expect(await store.list(owner, undefined, 10)).toHaveLength(1);
      const { version } = (await store.get(owner, "a"))!;
      await lease!.release();
      expect(await store.put(owner, "a", record({ turn: 2 }), version)).toMatchObject({ turn: 2 });
    });

    it("is leased to one at a time, whether there is such a session or not", async () => {
      const store = await open();
      const leases = await Promise.all(Array.from({ length: 10 }, () => store.lease(owner, "a")));
      const held = leases.filter((lease) => lease !== undefined);
      expect(held).toHaveLength(1);
      const other = await store.lease(owner, "b");
      expect(other).toBeDefined();
      await held[0]!.release();
      const next = await store.lease(owner, "a");
      expect(next).toBeDefined();
      await held[0]!.release(); // a second time, it takes nothing from the next
      expect(await store.lease(owner, "a")).toBeUndefined();
      await next!.release();
      await other!.release();
    });
  });
}

/** What only a store beyond the process does. */
function alone(): void {
  describe("sessions in Redis", () => {
    it("are shared by all who use it: contents, limits and leases", async () => {
      const [a, b] = [await openRedis(), await openRedis()];
      const lease = await a.lease("shared", "a");
      expect(await b.lease("shared", "a")).toBeUndefined();
      await a.put("shared", "a", record({ text: "by one" }), undefined);
      expect((await b.get("shared", "a"))?.text).toBe("by one");
      await lease!.release();
      expect(await b.lease("shared", "a")).toBeDefined();
    });

    it("are free soon after their holder has died, and not before", async () => {
      const [dying, living] = [await openRedis({ ...LASTING, lease: 1500 }), await openRedis()];
      const lease = await dying.lease("dying", "a");
      await sleep(3000); // renewed meanwhile
      expect(await living.lease("dying", "a")).toBeUndefined();
      dying.close();
      expect(await living.lease("dying", "a")).toBeUndefined();
      await expect.poll(() => living.lease("dying", "a"), { timeout: 10_000 }).toBeDefined();
      await lease!.release();
      expect(await living.lease("dying", "a")).toBeUndefined();
    });

    it("lose their lease to nobody who held it before", async () => {
      const store = await openRedis({ ...LASTING, lease: 3000 });
      const client = await createClient({ url: redis.url }).connect();
      const late = await store.lease("late", "a");
      await client.del("resonant:lease:{late}:a"); // as if it had ended
      const other = await openRedis();
      const now = await other.lease("late", "a");
      expect(now).toBeDefined();
      await sleep(1500);
      await late!.release();
      expect(await store.lease("late", "a")).toBeUndefined();
      await now!.release();
      expect(await store.lease("late", "a")).toBeDefined();
      client.destroy();
    });

    it("leave nothing behind when their time is over", async () => {
      const client = await createClient({ url: `${redis.url}/3` }).connect();
      const store = await openRedis({ ttl: 300, most: 10 }, `${redis.url}/3`);
      for (const name of ["a", "b"]) await store.put("brief", name, record(), undefined);
      await (await store.lease("brief", "a"))!.release();
      expect(await client.dbSize()).toBe(4); // two sessions, two indices
      await expect.poll(() => client.dbSize(), { timeout: 10_000 }).toBe(0);
      client.destroy();
    });

    it("have their owner, alone, as the hash tag of all of their keys", async () => {
      const client = await createClient({ url: `${redis.url}/4` }).connect();
      const store = await openRedis(LASTING, `${redis.url}/4`);
      await store.put("own:er", "a}{b", record(), undefined);
      await store.lease("own:er", "a}{b");
      const tags = (await client.keys("*")).map((key) => /\{([^}]*)\}/.exec(key)?.[1]);
      expect(tags).toEqual(["own:er", "own:er", "own:er", "own:er"]);
      client.destroy();
    });

    it("can be read, listed and deleted where memory is short, and what takes more is refused by that name", async () => {
      const client = await createClient({ url: redis.url }).connect();
      const store = await openRedis();
      for (const name of ["a", "b"]) await store.put("short", name, record(), undefined);
      const { version } = (await store.get("short", "a"))!;
      await client.configSet("maxmemory", "1");
      try {
        const full = { kind: "resource_error", message: "the session store is full" };
        await expect(store.put("short", "a", record(), version)).rejects.toMatchObject(full);
        await expect(store.put("short", "c", record(), undefined)).rejects.toMatchObject(full);
        await expect(store.lease("short", "a")).rejects.toMatchObject(full);
        expect(await store.get("short", "a")).toMatchObject({ version });
        expect((await store.list("short", undefined, 10)).map(({ name }) => name)).toEqual(["a", "b"]);
        expect(await store.delete("short", "b")).toBe("deleted");
      } finally {
        await client.configSet("maxmemory", "0");
        client.destroy();
      }
      expect((await store.list("short", undefined, 10)).map(({ name }) => name)).toEqual(["a"]);
    });

    it("fill a page of a list, and no room of their owner, where others were evicted", async () => {
      const client = await createClient({ url: redis.url }).connect();
      const store = await openRedis();
      for (const name of ["a", "b", "c", "d"]) await store.put("evicted", name, record(), undefined);
      for (const name of ["a", "b"]) await client.del(`resonant:session:{evicted}:${name}`); // as an eviction does
      expect((await store.list("evicted", undefined, 2)).map(({ name }) => name)).toEqual(["c", "d"]);
      expect(await store.count("evicted")).toBe(2);
      expect(await store.put("evicted", "a", record({ turn: 5 }), undefined)).toMatchObject({ turn: 5 });
      client.destroy();
    });
  });

  describe("a Redis that is out of reach", () => {
    let own: TestRedis;
    beforeEach(async () => {
      own = await startRedis(["--requirepass", "open sesame"]);
      log.length = 0;
    });
    afterEach(() => own.stop());

    const secret = () => own.url.replace("//", "//:open%20sesame@");

    const expectRefusals = async (store: SessionStore): Promise<void> => {
      const all = [
        () => store.get("o", "a"),
        () => store.put("o", "a", record(), undefined),
        () => store.delete("o", "a"),
        () => store.list("o", undefined, 1),
        () => store.count("o"),
        () => store.lease("o", "a"),
      ];
      for (const use of all) {
        const error = await use().then(
          () => undefined,
          (reason: unknown) => reason,
        );
        expect(error).toBeInstanceOf(ApiError);
        expect(error).toMatchObject({ kind: "resource_error", headers: { "Retry-After": "2" } });
      }
    };

    it("refuses with resource_error as long as it is down, says so once, and is found again", async () => {
      const store = await openRedis(LASTING, secret());
      const lease = await store.lease("o", "a");
      await own.kill();
      await expectRefusals(store);
      await expectRefusals(store);
      await lease!.release();
      await own.start();
      await expect.poll(() => store.count("o").catch(() => -1), { timeout: 20_000 }).toBe(0);
      expect(await store.put("o", "a", record(), undefined)).toMatchObject({ name: "a" });
      const at = `redis://127.0.0.1:${own.port}`;
      expect(log.map((line) => line.replace(/^.*? - /, ""))).toEqual([
        `INFO - sessions are kept at ${at}\n`,
        expect.stringMatching(new RegExp(`^WARNING - no sessions: ${at}: .+\\n$`)),
        `INFO - sessions are kept at ${at}\n`,
      ]);
    });

    it("may come later than its server", async () => {
      await own.kill();
      const store = await openRedis(LASTING, secret());
      await expectRefusals(store);
      expect(log).toEqual([expect.stringContaining("WARNING - no sessions")]);
      await own.start();
      await expect.poll(() => store.count("o").catch(() => -1), { timeout: 20_000 }).toBe(0);
    });

    it("may fall silent, and is asked again when it answers", async () => {
      const store = await openRedis(LASTING, secret());
      await store.put("o", "a", record(), undefined);
      own.freeze();
      await expect(store.get("o", "a")).rejects.toMatchObject({ kind: "resource_error" });
      await expectRefusals(store);
      own.thaw();
      await expect.poll(() => store.get("o", "a").catch(() => undefined), { timeout: 20_000 }).toBeDefined();
    });

    it("keeps its password to itself, even where it is wrong", async () => {
      const store = await openRedis(LASTING, own.url.replace("//", "//:hocus%20pocus@"));
      await expectRefusals(store);
      expect(log.join("")).toMatch(/no sessions.*WRONGPASS/);
      expect(log.join("")).not.toMatch(/hocus|pocus/);
    });
  });
}
