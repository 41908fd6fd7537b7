/** What a turn leaves of a session, to go on from. */
export interface SessionRecord {
  /** Turns it has had. */
  readonly turn: number;
  /** Tokens fed. */
  readonly position: number;
  /** Of the model whose state it is. */
  readonly fingerprint: string;
  /** The last turn's. */
  readonly text: string;
  /** A state file. */
  readonly state: Uint8Array<ArrayBuffer>;
}

/** What there is to tell of a session; times in milliseconds since 1970. */
export interface SessionInfo extends Omit<SessionRecord, "text" | "state"> {
  readonly name: string;
  /** Of its state. */
  readonly bytes: number;
  readonly created: number;
  readonly updated: number;
  /** When it is forgotten, if nobody uses it before. */
  readonly expires: number;
}

/** A session, and which of its contents this is. */
export interface Session extends SessionInfo, SessionRecord {
  /** Another one after each {@link SessionStore.put}, and no session ever has the same again. */
  readonly version: string;
}

/** The right to use a session alone. */
export interface Lease {
  /** Gives it back; does not throw, since a lease that cannot be given back ends by itself. */
  release(): Promise<void>;
}

export interface StoreOptions {
  /** Milliseconds that a session stays after its last use: being read by `get`, put, or leased. */
  readonly ttl: number;
  /** Sessions of one owner. */
  readonly most: number;
}

/**
 * Where sessions are kept. Owners have names of their own, and never meet.
 * @throws ApiError `resource_error`, all of its methods, where the store cannot be reached, or has no room for it
 */
export interface SessionStore {
  get(owner: string, name: string): Promise<Session | undefined>;
  /**
   * Writes a session where it still has the version `expected`, or, if that is undefined, where there is none.
   * @returns what was written, or why nothing was
   */
  put(
    owner: string,
    name: string,
    record: SessionRecord,
    expected: string | undefined,
  ): Promise<SessionInfo | "changed" | "full">;
  /** Forgets a session that nobody has leased; a store that is full does, too. */
  delete(owner: string, name: string): Promise<"deleted" | "leased" | "missing">;
  /** Up to `limit` sessions whose names come after `after`, by name, in the order of their characters' codes. */
  list(owner: string, after: string | undefined, limit: number): Promise<SessionInfo[]>;
  count(owner: string): Promise<number>;
  /** Takes a name, whether there is such a session or not; undefined where somebody has it. Renews itself. */
  lease(owner: string, name: string): Promise<Lease | undefined>;
  close(): void;
}
