import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createClient, RESP_TYPES } from "@redis/client";
import { ApiError } from "../errors.ts";
import type { Logger } from "../log.ts";
import type {
  Lease,
  Session,
  SessionInfo,
  SessionRecord,
  SessionStore,
  StoreOptions,
} from "./session-store.ts";

export interface RedisOptions extends StoreOptions {
  /** `redis[s]://[[user]:password@]host[:port][/database]`. */
  readonly url: string;
  readonly log: Logger;
  /** Milliseconds after which the lease of a dead server expires. Default 10,000. */
  readonly lease?: number;
}

const LEASE_MILLISECONDS = 10_000;
/** Time-out of a connection or a reply. Requests wait as long. */
const PATIENCE_MILLISECONDS = 2000;
const LONGEST_RETRY_MILLISECONDS = 2000;

/**
 * Keeps sessions in Redis (6 or newer) or Valkey, shared by all servers that use it. Each owner has a hash for each session,
 * a string for each lease, and two sorted sets: the names in order, and their expiry times. The owner is the hash tag of
 * the keys, so all keys of a script are in one shard. Times are those of Redis's clock.
 */
export class RedisSessionStore implements SessionStore {
  readonly #options: RedisOptions;
  readonly #lease: number;
  readonly #leases = new Set<NodeJS.Timeout>();
  #client: Client;
  #reached: boolean | undefined;

  private constructor(options: RedisOptions) {
    this.#options = options;
    this.#lease = options.lease ?? LEASE_MILLISECONDS;
    this.#client = this.#connect();
  }

  /** Resolves when connected or after the first time-out; it keeps trying to connect. @throws TypeError for an invalid URL */
  static async open(options: RedisOptions): Promise<RedisSessionStore> {
    const store = new RedisSessionStore(options);
    const signal = AbortSignal.timeout(PATIENCE_MILLISECONDS);
    await once(store.#client, "ready", { signal }).catch(() => undefined);
    return store;
  }

  #connect(): Client {
    const { url, log } = this.#options;
    const client = clientOf(url);
    client.on("ready", () => {
      if (!this.#reached) log.info(`sessions are kept at ${withoutPassword(url)}`);
      this.#reached = true;
    });
    client.on("error", (error: Error) => {
      if (this.#reached !== false) log.warn(`no sessions: ${withoutPassword(url)}: ${reasonOf(error)}`);
      this.#reached = false;
    });
    client.connect().catch(() => undefined); // the "error" event reports it, too
    return client;
  }

  async get(owner: string, name: string): Promise<Session | undefined> {
    const reply = await this.#run(GET, owner, name, [name, this.#options.ttl]);
    if (!Array.isArray(reply)) return undefined;
    const [version, text, state, ...info] = reply as Buffer[];
    return {
      ...infoOf(name, info),
      version: String(version),
      text: String(text),
      state: new Uint8Array(state!),
    };
  }

  async put(
    owner: string,
    name: string,
    { turn, position, fingerprint, text, state }: SessionRecord,
    expected: string | undefined,
  ): Promise<SessionInfo | "changed" | "full"> {
    const { ttl, most } = this.#options;
    const fields = { version: randomUUID(), text, state, turn, position, bytes: state.length, fingerprint };
    const reply = await this.#run(PUT, owner, name, [
      ...[name, ttl, expected ?? "", most],
      ...Object.entries(fields).flat(),
    ]);
    return Array.isArray(reply) ? infoOf(name, reply as Buffer[]) : (String(reply) as "changed" | "full");
  }

  async delete(owner: string, name: string): Promise<"deleted" | "leased" | "missing"> {
    return String(await this.#run(DELETE, owner, name, [name])) as "deleted" | "leased" | "missing";
  }

  async list(owner: string, after: string | undefined, limit: number): Promise<SessionInfo[]> {
    const sessions: SessionInfo[] = [];
    for (let least = after === undefined ? "-" : `(${after}`; sessions.length < limit; ) {
      const names = ((await this.#run(LIST, owner, "", [least, limit - sessions.length])) as Buffer[]).map(
        String,
      );
      if (names.length === 0) break;
      least = `(${names.at(-1)}`;
      const replies = await this.#ask(
        Promise.all(names.map((name) => this.#client.hmGet(keysOf(owner, name).session, INFO))),
      );
      for (const [i, name] of names.entries()) {
        const info = replies[i] as (Buffer | null)[];
        if (info[0] !== null) sessions.push(infoOf(name, info as Buffer[]));
        else await this.get(owner, name); // Redis evicted the session: this removes its name
      }
    }
    return sessions;
  }

  async count(owner: string): Promise<number> {
    return Number(await this.#run(COUNT, owner, "", []));
  }

  async lease(owner: string, name: string): Promise<Lease | undefined> {
    const token = randomUUID();
    const { lease } = keysOf(owner, name);
    const options = { condition: "NX", expiration: { type: "PX", value: this.#lease } } as const;
    if ((await this.#ask(this.#client.set(lease, token, options))) === null) return undefined;
    const { ttl } = this.#options;
    // If the lease cannot be renewed it is lost, and a later `put` may return "changed".
    const renew = () => this.#run(RENEW, owner, name, [name, ttl, token, this.#lease]).catch(() => undefined);
    const timer = setInterval(renew, Math.max(1, Math.min(this.#lease, ttl) / 3)).unref();
    this.#leases.add(timer);
    return {
      release: async () => {
        if (!this.#leases.delete(timer)) return;
        clearInterval(timer);
        await this.#run(RELEASE, owner, name, [name, ttl, token]).catch(() => undefined);
      },
    };
  }

  close(): void {
    for (const timer of this.#leases) clearInterval(timer);
    this.#client.destroy();
  }

  /** Runs a script atomically. */
  #run(script: string, owner: string, name: string, args: readonly Argument[]): Promise<unknown> {
    const { session, lease, names, expiries } = keysOf(owner, name);
    return this.#ask(
      this.#client.eval(script, {
        keys: [session, names, expiries, lease],
        arguments: args.map((arg) => (typeof arg === "number" ? String(Math.ceil(arg)) : asBuffer(arg))),
      }),
    );
  }

  async #ask<T>(answer: Promise<T>): Promise<T> {
    const client = this.#client;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new Error("no answer in time"));
        // A connection that died silently would delay every request. Reconnect; until then, requests fail at once.
        if (client !== this.#client || !client.isOpen) return;
        client.destroy();
        this.#client = this.#connect();
      }, PATIENCE_MILLISECONDS);
    });
    try {
      return await Promise.race([answer, late]);
    } catch (cause) {
      const full = cause instanceof Error && cause.message.startsWith("OOM");
      throw new ApiError("resource_error", `the session store ${full ? "is full" : "cannot be reached"}`, {
        headers: { "Retry-After": "2" },
        cause,
      });
    } finally {
      clearTimeout(timer);
    }
  }
}

type Client = ReturnType<typeof clientOf>;
type Argument = string | number | Uint8Array;

const asBuffer = (arg: string | Uint8Array): string | Buffer =>
  typeof arg === "string" ? arg : Buffer.from(arg.buffer, arg.byteOffset, arg.byteLength);

const clientOf = (url: string) =>
  createClient({
    url,
    disableOfflineQueue: true, // a request is refused at once rather than kept waiting
    commandsQueueMaxLength: 10_000,
    socket: {
      connectTimeout: PATIENCE_MILLISECONDS,
      reconnectStrategy: (retries) =>
        Math.min(LONGEST_RETRY_MILLISECONDS, 50 * 2 ** retries) * (0.5 + Math.random() / 2),
    },
    commandOptions: { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } },
  });

/** Returns the URL without user and password, for the log. */
function withoutPassword(url: string): string {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}

/** Returns an error's message. A host with several addresses has an error for each; the error of them all has no message. */
function reasonOf(error: Error): string {
  return error instanceof AggregateError ? error.errors.map(reasonOf).join(", ") : error.message;
}

function keysOf(owner: string, name: string) {
  const key = (kind: string) => `resonant:${kind}:{${owner}}`;
  return {
    session: `${key("session")}:${name}`,
    lease: `${key("lease")}:${name}`,
    names: key("names"),
    expiries: key("expiries"),
  };
}

const INFO = ["turn", "position", "bytes", "fingerprint", "created", "updated", "expires"];

function infoOf(name: string, reply: readonly Buffer[]): SessionInfo {
  const [turn, position, bytes, fingerprint, created, updated, expires] = reply.map(String);
  return {
    name,
    turn: Number(turn),
    position: Number(position),
    bytes: Number(bytes),
    fingerprint: fingerprint!,
    created: Number(created),
    updated: Number(updated),
    expires: Number(expires),
  };
}

const quoted = (names: readonly string[]): string => names.map((name) => `'${name}'`).join(", ");

const PRELUDE = `
local session, names, expiries, lease = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local time = redis.call('TIME')
local function whole(number) return string.format('%.0f', number) end
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function forget(name)
  redis.call('ZREM', names, name)
  redis.call('ZREM', expiries, name)
end

-- Removes the names of expired sessions.
local function prune()
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', expiries, '-inf', whole(now))) do forget(name) end
end

-- Restarts the session's time to live, and keeps the indices at least as long. Does nothing if Redis is out of memory:
-- then sessions can still be read and deleted.
local function touch(name, ttl)
  local expires = whole(now + ttl)
  if type(redis.pcall('HSET', session, 'expires', expires)) == 'table' then return end
  redis.call('PEXPIRE', session, ttl)
  redis.call('ZADD', names, 0, name)
  redis.call('ZADD', expiries, expires, name)
  for _, index in ipairs({names, expiries}) do
    if redis.call('PTTL', index) < tonumber(ttl) then redis.call('PEXPIRE', index, ttl) end
  end
end
`;

const GET = `${PRELUDE}
if redis.call('EXISTS', session) == 0 then
  forget(ARGV[1])
  return false
end
touch(ARGV[1], ARGV[2])
return redis.call('HMGET', session, ${quoted(["version", "text", "state", ...INFO])})`;

const PUT = `${PRELUDE}
local name, ttl, expected, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local version = redis.call('HGET', session, 'version') or ''
if version ~= expected then return 'changed' end
prune()
if version == '' then
  if redis.call('ZCARD', names) >= most then return 'full' end
  redis.call('HSET', session, 'created', whole(now))
end
redis.call('HSET', session, 'updated', whole(now), unpack(ARGV, 5))
touch(name, ttl)
return redis.call('HMGET', session, ${quoted(INFO)})`;

const DELETE = `${PRELUDE}
if redis.call('EXISTS', lease) == 1 then return 'leased' end
forget(ARGV[1])
return redis.call('DEL', session) == 1 and 'deleted' or 'missing'`;

const LIST = `${PRELUDE}
prune()
return redis.call('ZRANGEBYLEX', names, ARGV[1], '+', 'LIMIT', 0, ARGV[2])`;

const COUNT = `${PRELUDE}
prune()
return redis.call('ZCARD', names)`;

const RENEW = `${PRELUDE}
local name, ttl, token, patience = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if (redis.call('GET', lease) or token) ~= token then return 0 end
redis.call('SET', lease, token, 'PX', patience)
if redis.call('EXISTS', session) == 1 then touch(name, ttl) end
return 1`;

const RELEASE = `${PRELUDE}
local name, ttl, token = ARGV[1], ARGV[2], ARGV[3]
if redis.call('GET', lease) ~= token then return 0 end
if redis.call('EXISTS', session) == 1 then touch(name, ttl) end
return redis.call('DEL', lease)`;
