import * as v from "valibot";
import type { ApiContext } from "./context.ts";
import { ApiError, type ErrorKind, validationError } from "./errors.ts";
import { readBody } from "./read-body.ts";
import type { Limits } from "./schemas/limits.ts";
import type { Service } from "./service.ts";

/** What a part of a request must be, under the limits of a deployment. */
export type Schema<T extends v.GenericSchema = v.GenericSchema> = (limits: Limits) => T;

/** An endpoint: what it takes, what it answers, and how. Routes, refusals and the OpenAPI document are made of these. */
export interface Operation {
  readonly method: "get" | "post" | "delete";
  /** Each `{name}` in it is a segment, and one of `params`. */
  readonly path: string;
  /** The path's last parameter may have slashes. */
  readonly slashes?: boolean;
  readonly id: string;
  readonly tag: string;
  readonly summary: string;
  /** The object of the path's parameters. */
  readonly params?: Schema | undefined;
  /** The object of what may stand after the question mark. */
  readonly query?: Schema | undefined;
  /** Its JSON body. */
  readonly body?: Schema | undefined;
  /** What its body is, where that is a file. */
  readonly file?: string;
  /** A body that shows how it is used. */
  readonly example?: (limits: Limits) => unknown;
  /** Its answer: JSON, or text or bytes of a content type. */
  readonly answer: v.GenericSchema | { readonly contentType: string };
  /** Statuses other than 200 that answer with the same body. */
  readonly also?: readonly number[];
  /** What its server-sent events are, where it has them. */
  readonly events?: string;
  readonly errors: readonly ErrorKind[];
  /** Errors in OpenAI's shape. */
  readonly openAi?: boolean;
  /** Needs a key, where there are keys, and counts for the rate limit. */
  readonly guarded?: boolean;
  /** Whether this model can be asked at all; where not, the document leaves the operation out. */
  readonly offered?: (limits: Limits) => boolean;
  readonly handle: (c: ApiContext, service: Service) => Response | Promise<Response>;
}

/** Every error that a guarded operation with a body may end in. */
export const BODY_ERRORS: readonly ErrorKind[] = [
  "validation_error",
  "conflict",
  "payload_too_large",
  "unsupported_media_type",
  "model_error",
  "internal_error",
  "resource_error",
];

type Checked<S> = S extends Schema<infer T> ? v.InferOutput<T> : undefined;

/** An operation whose parameters and JSON body are checked against their schemas before it is handled. */
export function checked<
  Params extends Schema | undefined = undefined,
  Query extends Schema | undefined = undefined,
  Body extends Schema | undefined = undefined,
>(
  operation: Omit<Operation, "params" | "query" | "body" | "handle"> & {
    readonly params?: Params;
    readonly query?: Query;
    readonly body?: Body;
    readonly handle: (
      c: ApiContext,
      service: Service,
      request: {
        readonly params: Checked<Params>;
        readonly query: Checked<Query>;
        readonly body: Checked<Body>;
      },
    ) => Promise<Response>;
  },
): Operation {
  const check = {
    params: checker(operation.params),
    query: checker(operation.query),
    body: checker(operation.body),
  };
  return {
    ...operation,
    handle: async (c, service) => {
      const { limits } = service;
      const params = check.params(limits, () => c.req.param());
      const query = check.query(limits, () => queryOf(c));
      const json = operation.body && (await readJson(c, service));
      const body = check.body(limits, () => json);
      return operation.handle(c, service, { params, query, body } as Parameters<typeof operation.handle>[2]);
    },
  };
}

/** A `POST` whose body is checked against its schema before it is handled. */
export function post<const T extends v.GenericSchema>(
  operation: Omit<Operation, "method" | "params" | "query" | "body" | "handle" | "errors"> & {
    readonly body: Schema<T>;
    /** Beside those of every body. */
    readonly errors?: readonly ErrorKind[];
    readonly handle: (c: ApiContext, service: Service, body: v.InferOutput<T>) => Promise<Response>;
  },
): Operation {
  return checked({
    ...operation,
    method: "post",
    errors: [...BODY_ERRORS, ...(operation.errors ?? [])],
    handle: (c, service, { body }) => operation.handle(c, service, body),
  });
}

/** Checks what `read` gives against a schema, made once for each limits. @throws ApiError naming the field */
function checker(schema: Schema | undefined): (limits: Limits, read: () => unknown) => unknown {
  const made = new WeakMap<Limits, v.GenericSchema>();
  return (limits, read) => {
    if (!schema) return undefined;
    const own = made.get(limits) ?? schema(limits);
    made.set(limits, own);
    const parsed = v.safeParse(own, read(), { abortEarly: true });
    if (!parsed.success) throw validationError(parsed.issues[0]);
    return parsed.output;
  };
}

/** Texts by their names; of one that stands there twice, a list, which no schema takes. */
function queryOf(c: ApiContext): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(c.req.queries()).map(([name, values]) => [
      name,
      values.length === 1 ? values[0]! : values,
    ]),
  );
}

/** A request's body. @throws ApiError where it is too large, not JSON in UTF-8, or does not say so */
async function readJson(c: ApiContext, service: Service): Promise<unknown> {
  const bytes = await readBody(c, service, {
    type: /^application\/([\w.+-]+\+)?json\s*(;|$)/i,
    name: "JSON, with Content-Type: application/json",
  });
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    const why = error instanceof SyntaxError ? error.message : "it is not UTF-8";
    throw new ApiError("validation_error", `the body must be JSON (${why})`, {
      details: { field: "body", allowed: "JSON in UTF-8" },
      cause: error,
    });
  }
}

/** A request's body as a file. @throws ApiError where it is empty, too large, or of another content type */
export async function readFile(c: ApiContext, service: Service): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await readBody(c, service, {
    type: /^application\/octet-stream\s*(;|$)/i,
    name: "a file, with Content-Type: application/octet-stream",
  });
  if (bytes.length > 0) return Uint8Array.from(bytes);
  throw new ApiError("validation_error", "the body must be a file, not empty", {
    details: { field: "body", allowed: "a file, not empty" },
  });
}
