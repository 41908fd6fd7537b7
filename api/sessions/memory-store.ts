import { randomUUID } from "node:crypto";
import type {
  Lease,
  Session,
  SessionInfo,
  SessionRecord,
  SessionStore,
  StoreOptions,
} from "./session-store.ts";

/** Interval at which expired sessions are removed. */
const SWEEP_MILLISECONDS = 60_000;

/** Keeps sessions in this process's memory. They end with the process. */
export class MemorySessionStore implements SessionStore {
  readonly #options: StoreOptions;
  readonly #owners = new Map<string, Map<string, Session>>();
  readonly #leases = new Set<string>();
  readonly #sweeper: NodeJS.Timeout;

  constructor(options: StoreOptions) {
    this.#options = options;
    this.#sweeper = setInterval(
      () => {
        for (const owner of this.#owners.keys()) this.#sessions(owner);
      },
      Math.min(options.ttl, SWEEP_MILLISECONDS),
    ).unref();
  }

  async get(owner: string, name: string): Promise<Session | undefined> {
    const session = this.#touch(owner, name);
    return session && { ...session, state: session.state.slice() };
  }

  async put(
    owner: string,
    name: string,
    record: SessionRecord,
    expected: string | undefined,
  ): Promise<SessionInfo | "changed" | "full"> {
    const sessions = this.#sessions(owner);
    const before = sessions.get(name);
    if (before?.version !== expected) return "changed";
    if (!before && sessions.size >= this.#options.most) return "full";
    const now = Date.now();
    const session: Session = {
      ...record,
      state: record.state.slice(),
      name,
      bytes: record.state.length,
      created: before?.created ?? now,
      updated: now,
      expires: now + this.#options.ttl,
      version: randomUUID(),
    };
    sessions.set(name, session);
    this.#owners.set(owner, sessions);
    return infoOf(session);
  }

  async delete(owner: string, name: string): Promise<"deleted" | "leased" | "missing"> {
    if (this.#leases.has(leaseKey(owner, name))) return "leased";
    return this.#sessions(owner).delete(name) ? "deleted" : "missing";
  }

  async list(owner: string, after: string | undefined, limit: number): Promise<SessionInfo[]> {
    const sessions = this.#sessions(owner);
    const names = [...sessions.keys()].filter((name) => after === undefined || name > after).sort();
    return names.slice(0, limit).map((name) => infoOf(sessions.get(name)!));
  }

  async count(owner: string): Promise<number> {
    return this.#sessions(owner).size;
  }

  async lease(owner: string, name: string): Promise<Lease | undefined> {
    const key = leaseKey(owner, name);
    if (this.#leases.has(key)) return undefined;
    this.#leases.add(key);
    let held = true;
    return {
      release: async () => {
        if (!held) return;
        held = false;
        this.#touch(owner, name);
        this.#leases.delete(key);
      },
    };
  }

  close(): void {
    clearInterval(this.#sweeper);
  }

  /** Returns an owner's sessions, after removing those that have expired. A leased session does not expire. */
  #sessions(owner: string): Map<string, Session> {
    const sessions = this.#owners.get(owner) ?? new Map<string, Session>();
    const now = Date.now();
    for (const [name, { expires }] of sessions) {
      if (expires <= now && !this.#leases.has(leaseKey(owner, name))) sessions.delete(name);
    }
    if (sessions.size === 0) this.#owners.delete(owner);
    return sessions;
  }

  #touch(owner: string, name: string): Session | undefined {
    const sessions = this.#sessions(owner);
    const session = sessions.get(name);
    if (!session) return undefined;
    const touched = { ...session, expires: Date.now() + this.#options.ttl };
    sessions.set(name, touched);
    return touched;
  }
}

const leaseKey = (owner: string, name: string): string => `${owner} ${name}`;

function infoOf({ text: _text, state: _state, version: _version, ...info }: Session): SessionInfo {
  return info;
}
