import * as v from "valibot";
import { integer, object, whole } from "./fields.ts";

const NAME = "1 to 128 letters, digits and any of . _ : -, beginning with a letter or digit";

/** Schema of a session's name, which its owner chooses. */
export const sessionName = (description: string) =>
  v.pipe(v.string(NAME), v.regex(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/, NAME), v.description(description));

export const turns = (description: string) => integer(0, Number.MAX_SAFE_INTEGER, description);

/** Path parameters of the operations on one session. */
export const sessionParams = () => v.object({ name: sessionName("The session's name") });

/** Headers of `POST /v1/sessions/{name}/import`. */
export const importHeaders = () =>
  v.object({
    "X-State-Signature": v.optional(
      v.pipe(v.string(), v.description("The signature that came with the export")),
    ),
  });

const PAGE = { type: "integer", minimum: 1, maximum: 1000, default: 100 } as const;
const PAGE_RANGE = `an integer between ${PAGE.minimum} and ${PAGE.maximum}`;

/** Query parameters of `GET /v1/sessions`. */
export const listSessionsQuery = () =>
  v.object({
    limit: v.optional(
      v.pipe(
        v.string(PAGE_RANGE),
        v.check((text) => /^\d{1,4}$/.test(text) && +text >= 1 && +text <= PAGE.maximum, PAGE_RANGE),
        v.metadata(PAGE),
        v.description("Maximum number of sessions to list"),
        v.transform(Number),
      ),
    ),
    after: v.optional(
      sessionName("List only sessions whose names come after this one; give the `next` of the previous page"),
    ),
  });

/** Body of `POST /v1/sessions/{name}/fork`. */
export const forkRequest = () =>
  v.pipe(
    object({ to: sessionName("Name of the new session, which must not exist yet") }, "a JSON object"),
    v.title("ForkRequest"),
  );

const time = v.pipe(v.string(), v.metadata({ format: "date-time" }));

const fields = {
  name: v.string(),
  turn: v.pipe(whole, v.description("Number of turns so far")),
  position: v.pipe(whole, v.description("Number of tokens that the model has read in this session")),
  bytes: v.pipe(whole, v.description("Size of the session's state")),
  fingerprint: v.pipe(
    v.string(),
    v.description("Fingerprint of the session's model, as in `/v1/model/info`"),
  ),
  created: time,
  updated: v.pipe(
    v.string(),
    v.metadata({ format: "date-time" }),
    v.description("Time at which the last turn ended"),
  ),
  expires: v.pipe(
    v.string(),
    v.metadata({ format: "date-time" }),
    v.description("Time at which the session is deleted if it is not used before"),
  ),
};

/** Answer of the operations that create a session, and an item of the list of sessions. */
export const sessionResponse = v.pipe(v.object(fields), v.title("Session"));

export type SessionResponse = v.InferOutput<typeof sessionResponse>;

/** Answer of `GET /v1/sessions/{name}`. */
export const sessionDetail = v.pipe(
  v.object({ ...fields, text: v.pipe(v.string(), v.description("Text of the last turn")) }),
  v.title("SessionDetail"),
);

/** Answer of `GET /v1/sessions`. */
export const sessionsResponse = v.pipe(
  v.object({
    sessions: v.array(sessionResponse),
    next: v.pipe(
      v.nullable(v.string()),
      v.description("The `after` of the next page; null on the last page"),
    ),
  }),
  v.title("Sessions"),
);

/** Answer of `DELETE /v1/sessions/{name}`. */
export const deletedResponse = v.pipe(
  v.object({ name: v.string(), deleted: v.literal(true) }),
  v.title("SessionDeleted"),
);
