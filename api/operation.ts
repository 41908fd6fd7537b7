import * as v from "valibot";
import type { ApiContext } from "./context.ts";
import { ApiError, type ErrorKind, validationError } from "./errors.ts";
import { readBody } from "./read-body.ts";
import type { Limits } from "./schemas/limits.ts";
import type { Service } from "./service.ts";

/** Creates the schema of a part of a request, for the limits of a deployment. */
export type SchemaOf<T extends v.GenericSchema = v.GenericSchema> = (limits: Limits) => T;

/** An endpoint: its input, its answer and its handler. The routes, the checks and the OpenAPI document are built from these. */
export interface Operation {
  readonly method: "get" | "post" | "delete";
  /** Each `{name}` in it is a path segment and a field of `params`. */
  readonly path: string;
  /** Whether the path's last parameter may contain slashes. */
  readonly slashes?: boolean;
  readonly id: string;
  readonly tag: string;
  readonly summary: string;
  /** SchemaOf of the path's parameters, an object. */
  readonly params?: SchemaOf | undefined;
  /** SchemaOf of the query parameters, an object. */
  readonly query?: SchemaOf | undefined;
  /** Schema of the headers, an object; for the document alone. */
  readonly headers?: SchemaOf | undefined;
  /** SchemaOf of the JSON body. */
  readonly body?: SchemaOf | undefined;
  /** Description of the body, if it is a file. */
  readonly file?: string;
  /** An example of a body. */
  readonly example?: (limits: Limits) => unknown;
  /** The answer: a schema for JSON, or the content type of text or bytes. */
  readonly answer: v.GenericSchema | { readonly contentType: string };
  /** Statuses other than 200 that answer with the same body. */
  readonly also?: readonly number[];
  /** Description of the server-sent events, if the operation sends any. */
  readonly events?: string;
  readonly errors: readonly ErrorKind[];
  /** Whether errors have OpenAI's format. */
  readonly openAi?: boolean;
  /** Whether the operation needs an API key, if keys are set, and counts towards the rate limit. */
  readonly guarded?: boolean;
  /** Whether the operation reads or changes what clients keep here. Pages of other origins then need a key or a name. */
  readonly personal?: boolean;
  /** Whether the served model supports the operation. If not, the OpenAPI document leaves it out. */
  readonly offered?: (limits: Limits) => boolean;
  readonly handle: (c: ApiContext, service: Service) => Response | Promise<Response>;
}

/** The errors that every guarded operation with a body can return. */
export const BODY_ERRORS: readonly ErrorKind[] = [
  "validation_error",
  "conflict",
  "payload_too_large",
  "unsupported_media_type",
  "model_error",
  "internal_error",
  "resource_error",
];

type Checked<S> = S extends SchemaOf<infer T> ? v.InferOutput<T> : undefined;

/** Creates an operation that checks parameters and JSON body against their schemas before its handler runs. */
export function checked<
  Params extends SchemaOf | undefined = undefined,
  Query extends SchemaOf | undefined = undefined,
  Body extends SchemaOf | undefined = undefined,
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

/** Creates a `POST` operation that checks its JSON body against its schema before its handler runs. */
export function post<const T extends v.GenericSchema>(
  operation: Omit<Operation, "method" | "params" | "query" | "body" | "handle" | "errors"> & {
    readonly body: SchemaOf<T>;
    /** Errors in addition to {@link BODY_ERRORS}. */
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

/**
 * Returns a function that checks the result of `read` against a schema. The schema is built once for each limits.
 * @throws ApiError naming the field
 */
function checker(schema: SchemaOf | undefined): (limits: Limits, read: () => unknown) => unknown {
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

/** Returns the query parameters by name. A parameter that occurs twice becomes a list, which every schema refuses. */
function queryOf(c: ApiContext): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(c.req.queries()).map(([name, values]) => [
      name,
      values.length === 1 ? values[0]! : values,
    ]),
  );
}

/** Reads a JSON body. @throws ApiError if it is too large, is not JSON in UTF-8, or has another content type */
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

/** Reads a body that is a file. @throws ApiError if it is empty, too large, or has another content type */
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
