import type { ApiContext } from "../context.ts";
import { ApiError } from "../errors.ts";
import { BODY_ERRORS, checked, readFile } from "../operation.ts";
import {
  deletedResponse,
  forkRequest,
  importHeaders,
  listSessionsQuery,
  type SessionResponse,
  sessionDetail,
  sessionParams,
  sessionResponse,
  sessionsResponse,
} from "../schemas/sessions.ts";
import type { Service } from "../service.ts";
import type { Session, SessionInfo, SessionRecord } from "../sessions/session-store.ts";
import { asConflict, inUse, leaseOf, noSession, ownerOf, written } from "../sessions/turn.ts";
import { variableOf } from "../settings.ts";

const FILE = "application/octet-stream";
/** The header in which a state that is a file has its signature. */
export const SIGNATURE = "X-State-Signature";

/** `GET /v1/sessions`. */
export const listSessionsOperation = checked({
  method: "get",
  path: "/v1/sessions",
  id: "listSessions",
  tag: "Sessions",
  summary: "List sessions, ordered by name",
  query: listSessionsQuery,
  answer: sessionsResponse,
  errors: ["validation_error", "resource_error"],
  guarded: true,
  personal: true,
  handle: async (c, service, { query: { limit = 100, after } }) => {
    const found = await service.sessions.list(ownerOf(c, service), after, limit + 1);
    const page = found.slice(0, limit);
    const next = found.length > limit ? page.at(-1)!.name : null;
    return c.json({ sessions: page.map(sessionBody), next });
  },
});

/** `GET /v1/sessions/{name}`. */
export const sessionOperation = checked({
  method: "get",
  path: "/v1/sessions/{name}",
  id: "session",
  tag: "Sessions",
  summary: "One session, with the text of its last turn",
  params: sessionParams,
  answer: sessionDetail,
  errors: ["validation_error", "not_found", "resource_error"],
  guarded: true,
  personal: true,
  handle: async (c, service, { params: { name } }) => {
    const session = await find(c, service, name);
    return c.json({ ...sessionBody(session), text: session.text });
  },
});

/** `DELETE /v1/sessions/{name}`. */
export const deleteSessionOperation = checked({
  method: "delete",
  path: "/v1/sessions/{name}",
  id: "deleteSession",
  tag: "Sessions",
  summary: "Delete a session",
  params: sessionParams,
  answer: deletedResponse,
  errors: ["validation_error", "not_found", "conflict", "resource_error"],
  guarded: true,
  personal: true,
  handle: async (c, service, { params: { name } }) => {
    const result = await service.sessions.delete(ownerOf(c, service), name);
    if (result === "leased") throw inUse(name, "name");
    if (result === "missing") throw noSession(name, "name");
    return c.json({ name, deleted: true });
  },
});

/** `POST /v1/sessions/{name}/fork`: copies the session after its last finished turn, even while another turn runs. */
export const forkSessionOperation = checked({
  method: "post",
  path: "/v1/sessions/{name}/fork",
  id: "forkSession",
  tag: "Sessions",
  summary: "Start a session as a copy of another one",
  params: sessionParams,
  body: forkRequest,
  example: () => ({ to: "another-ending" }),
  answer: sessionResponse,
  errors: [...BODY_ERRORS, "not_found"],
  guarded: true,
  personal: true,
  handle: async (c, service, { params: { name }, body: { to } }) =>
    c.json(sessionBody(await create(c, service, to, "to", await find(c, service, name)))),
});

/** `GET /v1/sessions/{name}/export`. */
export const exportSessionOperation = checked({
  method: "get",
  path: "/v1/sessions/{name}/export",
  id: "exportSession",
  tag: "Sessions",
  summary:
    "A session's state as a file for `resonant generate --state`; its signature is in `X-State-Signature`",
  params: sessionParams,
  answer: { contentType: FILE },
  errors: ["validation_error", "not_found", "resource_error"],
  guarded: true,
  personal: true,
  handle: async (c, service, { params: { name } }) => {
    const { state } = await find(c, service, name);
    const headers = {
      "Content-Type": FILE,
      "Content-Disposition": `attachment; filename="${name}.state"`,
      [SIGNATURE]: service.states.signatureOf(state, ownerOf(c, service)),
    };
    return c.body(state, 200, headers);
  },
});

/** `POST /v1/sessions/{name}/import`. */
export const importSessionOperation = checked({
  method: "post",
  path: "/v1/sessions/{name}/import",
  id: "importSession",
  tag: "Sessions",
  summary: "Start a session from a state file",
  params: sessionParams,
  headers: importHeaders,
  file: "A state file of the served model: from an export, or where `STATE_IMPORTS` is `any` also from `resonant generate --state-out`",
  answer: sessionResponse,
  errors: [...BODY_ERRORS, "forbidden"],
  guarded: true,
  personal: true,
  handle: async (c, service, { params: { name } }) => {
    const { model } = service;
    const state = await readFile(c, service);
    if (!model.facts.portable) {
      throw new ApiError(
        "validation_error",
        "the body must be a state, but a model with attention has no portable states",
        {
          details: { field: "body" },
        },
      );
    }
    checkSignature(c, service, state);
    const { position } = await model.check(state, "body").catch((error: unknown) => {
      throw asConflict(error, "body");
    });
    const record = { turn: 0, position, fingerprint: model.fingerprint, text: "", state };
    return c.json(sessionBody(await create(c, service, name, "name", record)));
  },
});

/** Checks who made a state. @throws ApiError `forbidden` if it has no signature and needs one, `conflict` for a wrong one */
function checkSignature(c: ApiContext, service: Service, state: Uint8Array): void {
  const signature = c.req.header(SIGNATURE);
  if (signature !== undefined) service.states.verifyFile(signature, state, ownerOf(c, service), SIGNATURE);
  else if (service.settings.stateImports === "signed") {
    throw new ApiError(
      "forbidden",
      `${SIGNATURE} is required: send the one that came with the export, or set ${variableOf("stateImports")}=any`,
      { details: { field: SIGNATURE } },
    );
  }
}

/** Returns the session. @throws ApiError `not_found` */
async function find(c: ApiContext, service: Service, name: string): Promise<Session> {
  const session = await service.sessions.get(ownerOf(c, service), name);
  if (session) return session;
  throw noSession(name, "name");
}

/** Creates a session. @throws ApiError `conflict` naming `field` if the session exists or is in use, or there are too many */
async function create(
  c: ApiContext,
  service: Service,
  name: string,
  field: string,
  { turn, position, fingerprint, text, state }: SessionRecord,
): Promise<SessionInfo> {
  const { sessions, settings } = service;
  const owner = ownerOf(c, service);
  const lease = await leaseOf(sessions, owner, name, field);
  try {
    const put = await sessions.put(owner, name, { turn, position, fingerprint, text, state }, undefined);
    if (put !== "changed") return written(put, settings.maxSessions, field);
  } finally {
    await lease.release();
  }
  throw new ApiError("conflict", `there is a session ${name} already`, { details: { field, value: name } });
}

const iso = (milliseconds: number): string => new Date(milliseconds).toISOString();

const sessionBody = (session: SessionInfo): SessionResponse => ({
  name: session.name,
  turn: session.turn,
  position: session.position,
  bytes: session.bytes,
  fingerprint: session.fingerprint,
  created: iso(session.created),
  updated: iso(session.updated),
  expires: iso(session.expires),
});
