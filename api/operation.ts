import type { HttpBindings } from "@hono/node-server";
import type { Context } from "hono";
import * as v from "valibot";
import { ApiError, type ErrorKind, validationError } from "./errors.ts";
import { readBody } from "./read-body.ts";
import type { Limits } from "./schemas/limits.ts";
import type { Service } from "./service.ts";

export interface Env {
  readonly Bindings: HttpBindings;
  readonly Variables: {
    readonly requestId: string;
    /** Who calls a guarded operation. */
    readonly client: string;
    /** Aborted where the client leaves before its answer is out. */
    readonly signal: AbortSignal;
    /** The operation's path. */
    readonly route: string;
    readonly openAi: boolean;
  };
}

export type ApiContext = Context<Env>;

/** An endpoint: what it takes, what it answers, and how. Routes, refusals and the OpenAPI document are made of these. */
export interface Operation {
  readonly method: "get" | "post";
  readonly path: string;
  readonly id: string;
  readonly tag: string;
  readonly summary: string;
  /** Its JSON body. */
  readonly body?: (limits: Limits) => v.GenericSchema;
  /** A body that shows how it is used. */
  readonly example?: (limits: Limits) => unknown;
  /** Its answer: JSON, or text of a content type. */
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

/** A `POST` whose body is checked against its schema before it is handled. */
export function post<const Schema extends v.GenericSchema>(
  operation: Omit<Operation, "method" | "body" | "handle" | "errors"> & {
    readonly body: (limits: Limits) => Schema;
    readonly handle: (c: ApiContext, service: Service, body: v.InferOutput<Schema>) => Promise<Response>;
  },
): Operation {
  const made = new WeakMap<Limits, Schema>();
  return {
    ...operation,
    method: "post",
    errors: BODY_ERRORS,
    handle: async (c, service) => {
      const { limits } = service;
      const schema = made.get(limits) ?? operation.body(limits);
      made.set(limits, schema);
      const parsed = v.safeParse(schema, await readJson(c, service), { abortEarly: true });
      if (!parsed.success) throw validationError(parsed.issues[0]);
      return operation.handle(c, service, parsed.output);
    },
  };
}

/** A request's body. @throws ApiError where it is too large, not JSON in UTF-8, or does not say so */
async function readJson(c: ApiContext, service: Service): Promise<unknown> {
  const type = c.req.header("Content-Type") ?? "";
  if (!/^application\/([\w.+-]+\+)?json\s*(;|$)/i.test(type)) {
    throw new ApiError(
      "unsupported_media_type",
      "the body must be JSON, with Content-Type: application/json",
    );
  }
  const coding = c.req.header("Content-Encoding") ?? "identity";
  if (coding.toLowerCase() !== "identity") {
    throw new ApiError("unsupported_media_type", "the body must not be compressed");
  }
  const bytes = await readBody(c, service);
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
