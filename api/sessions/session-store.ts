/** The contents of a session after a turn, from which the next turn continues. */
export interface SessionRecord {
  /** The number of turns so far. */
  readonly turn: number;
  /** The number of tokens that the model has read. */
  readonly position: number;
  /** Fingerprint of the state's model. */
  readonly fingerprint: string;
  /** Text of the last turn. */
  readonly text: string;
  /** A state file. */
  readonly state: Uint8Array<ArrayBuffer>;
}

/** Information about a session. Times are Unix times in milliseconds. */
export interface SessionInfo extends Omit<SessionRecord, "text" | "state"> {
  readonly name: string;
  /** Size of the state. */
  readonly bytes: number;
  readonly created: number;
  readonly updated: number;
  /** Time at which the session is deleted if nobody uses it before. */
  readonly expires: number;
}

/** A session with its contents and their version. */
export interface Session extends SessionInfo, SessionRecord {
  /** Changes with each {@link SessionStore.put}; no version ever occurs twice. */
  readonly version: string;
}

/** The exclusive right to use a session. */
export interface Lease {
  /** Releases the lease. Never rejects: a lease that cannot be released expires by itself. */
  release(): Promise<void>;
}

export interface StoreOptions {
  /** Milliseconds for which a session is kept after its last use: `get`, `put` or a lease. */
  readonly ttl: number;
  /** Most sessions of one owner. */
  readonly most: number;
}

/**
 * A store of sessions. Each owner has a separate set of names.
 * @throws ApiError `resource_error`, from all methods, if the store cannot be reached or is full
 */
export interface SessionStore {
  get(owner: string, name: string): Promise<Session | undefined>;
  /**
   * Writes a session if its version is still `expected`; if `expected` is undefined, only if the session does not exist.
   * @returns information about the session, or why nothing was written
   */
  put(
    owner: string,
    name: string,
    record: SessionRecord,
    expected: string | undefined,
  ): Promise<SessionInfo | "changed" | "full">;
  /** Deletes a session that is not leased. This also works when the store is full. */
  delete(owner: string, name: string): Promise<"deleted" | "leased" | "missing">;
  /** Returns up to `limit` sessions whose names come after `after`, in the order of their names' character codes. */
  list(owner: string, after: string | undefined, limit: number): Promise<SessionInfo[]>;
  count(owner: string): Promise<number>;
  /** Leases a name, whether or not the session exists. The lease renews itself. Undefined if the name is already leased. */
  lease(owner: string, name: string): Promise<Lease | undefined>;
  close(): void;
}
