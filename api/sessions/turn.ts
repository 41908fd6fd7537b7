import { ResonantError } from "../../common/errors.ts";
import type { ApiContext } from "../context.ts";
import { ApiError } from "../errors.ts";
import type { Job, JobPiece, Service } from "../service.ts";
import { variableOf } from "../settings.ts";
import type { Lease, SessionInfo, SessionStore } from "./session-store.ts";

/** Returns the owner of a request's sessions: its API key, or one owner for everyone if no keys are set. */
export const ownerOf = (c: ApiContext, { settings }: Service): string =>
  settings.apiKeys.length > 0 ? c.get("client") : "public";

/** A turn of a session. */
export interface Turn {
  readonly owner: string;
  readonly session: string;
  /** The number of turns that the session must have had; undefined: any. */
  readonly turn: number | undefined;
}

/** The last piece also has the number of turns in the session, including this one. */
export interface TurnPiece extends JobPiece {
  readonly turn?: number;
}

/**
 * Runs a turn: yields what `run` generates from the session's state. The session is written just before the last piece is
 * yielded; if anything fails before that, it stays unchanged.
 * @throws ApiError `conflict` naming `session` or `turn`, or `not_found` if there is neither a session nor a prompt
 */
export async function* takeTurn(
  { sessions, model, settings }: Service,
  { owner, session: name, turn }: Turn,
  job: Job,
  run: (job: Job) => AsyncGenerator<JobPiece, void, undefined>,
): AsyncGenerator<TurnPiece, void, undefined> {
  const lease = await leaseOf(sessions, owner, name, "session");
  try {
    const before = await sessions.get(owner, name);
    const had = before?.turn ?? 0;
    if (turn !== undefined && turn !== had) {
      throw new ApiError("conflict", `turn is ${turn}, but session ${name} has had ${had}`, {
        details: { field: "turn", value: turn, allowed: String(had) },
      });
    }
    if (!before) {
      if (job.prompt.length === 0) throw noSession(name, "session", "Begin it with a prompt");
      if ((await sessions.count(owner)) >= settings.maxSessions)
        throw tooMany(settings.maxSessions, "session");
    }
    let text = "";
    for await (const piece of run({ ...job, state: before?.state, returnState: true })) {
      text += piece.text;
      if (!piece.state) {
        yield piece;
        continue;
      }
      const { state, position = 0 } = piece;
      const record = { turn: had + 1, position, fingerprint: model.fingerprint, text, state };
      written(await sessions.put(owner, name, record, before?.version), settings.maxSessions, "session");
      await lease.release(); // a client that has its answer may send the next turn at once
      yield { ...piece, turn: record.turn };
    }
  } catch (error) {
    throw asConflict(error, "session");
  } finally {
    await lease.release();
  }
}

/** Leases a session's name. @throws ApiError `conflict` if another request has leased it */
export async function leaseOf(
  sessions: SessionStore,
  owner: string,
  name: string,
  field: string,
): Promise<Lease> {
  const lease = await sessions.lease(owner, name);
  if (lease) return lease;
  throw inUse(name, field);
}

export const inUse = (name: string, field: string): ApiError =>
  new ApiError("conflict", `session ${name} is in use by another request`, {
    details: { field, value: name },
    headers: { "Retry-After": "1" },
  });

/** Returns what {@link SessionStore.put} wrote. @throws ApiError `conflict` if it wrote nothing */
export function written(result: SessionInfo | "changed" | "full", most: number, field: string): SessionInfo {
  if (result === "full") throw tooMany(most, field);
  if (result !== "changed") return result;
  throw new ApiError("conflict", "the session was changed or deleted in the meantime: read it again", {
    details: { field },
  });
}

export const noSession = (name: string, field: string, fix?: string): ApiError =>
  new ApiError("not_found", `there is no session ${name}${fix ? `. ${fix}` : ""}`, {
    details: { field, value: name },
  });

const tooMany = (most: number, field: string): ApiError =>
  new ApiError("conflict", `there are ${most} sessions already (${variableOf("maxSessions")}): delete one`, {
    details: { field },
  });

/** Converts an error of a state to a `conflict` naming the request's field; returns other errors unchanged. */
export function asConflict(error: unknown, field: string): unknown {
  if (!(error instanceof ResonantError) || error.code !== "state") return error;
  return new ApiError("conflict", error.message, { details: { field }, cause: error });
}
