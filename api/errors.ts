import type * as v from "valibot";
import { ResonantError } from "../common/errors.ts";
import { inContract } from "./contract.ts";

/** The values of `error` in the contract's error body, each with its HTTP status. */
const kinds = {
  validation_error: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  payload_too_large: 413,
  unsupported_media_type: 415,
  rate_limit_exceeded: 429,
  model_error: 500,
  internal_error: 500,
  resource_error: 503,
} as const;

export type ErrorKind = keyof typeof kinds;
export const errorKinds = Object.keys(kinds) as [ErrorKind, ...ErrorKind[]];

/** The wrong field, its value, and what is allowed. */
export interface ErrorDetails {
  readonly field?: string;
  readonly value?: unknown;
  readonly allowed?: string;
}

/** An error whose message is safe to send to a client. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly kind: ErrorKind;
  readonly details: ErrorDetails | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** OpenAI's code, where it is not the one of the kind. */
  readonly #code: string | undefined;

  constructor(
    kind: ErrorKind,
    message: string,
    more: { details?: ErrorDetails; headers?: Record<string, string>; cause?: unknown; code?: string } = {},
  ) {
    super(message, { cause: more.cause });
    this.kind = kind;
    this.details = more.details;
    this.headers = more.headers ?? {};
    this.#code = more.code;
  }

  get status() {
    return kinds[this.kind];
  }

  /** Returns the error body that the contract defines. */
  body() {
    const { kind: error, message } = this;
    return { error, message, details: this.details ?? null, timestamp: new Date().toISOString() };
  }

  /** Returns the error body that OpenAI's clients expect. */
  openAiBody() {
    const { kind, message } = this;
    return {
      error: {
        message,
        type:
          this.status < 500
            ? kind === "rate_limit_exceeded"
              ? kind
              : "invalid_request_error"
            : "server_error",
        param: this.details?.field ?? null,
        code: this.#code ?? openAiCodes[kind] ?? kind,
      },
    };
  }
}

/** Why a request's signal is aborted if its client has disconnected: nobody reads an answer, and there is nothing to log. */
export class ClientLeft extends Error {
  override readonly name = "ClientLeft";

  constructor() {
    super("the client has left");
  }
}

/** Whether an error belongs in the log: a server that is busy, loading or shutting down is not at fault, and has no cause. */
export const isFault = ({ status, kind, cause }: ApiError): boolean =>
  status >= 500 && (kind !== "resource_error" || cause !== undefined);

const openAiCodes: Partial<Record<ErrorKind, string>> = {
  validation_error: "invalid_value",
  unauthorized: "invalid_api_key",
};

export const noModel = (name: string): ApiError =>
  new ApiError("not_found", `the model ${JSON.stringify(name)} does not exist`, {
    details: { field: "model" },
    code: "model_not_found",
  });

/** Shortens a field's value to about 200 characters, for an error message. */
export function shown(value: unknown): unknown {
  if (typeof value === "string") return value.length > 200 ? `${value.slice(0, 200).toWellFormed()}…` : value;
  if (value !== null && typeof value === "object") {
    const text = jsonOf(value);
    if (text === undefined) return "…";
    return text.length > 200 ? `${text.slice(0, 200).toWellFormed()}…` : value;
  }
  return value ?? null;
}

function jsonOf(value: object): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined; // nested too deeply for the stack
  }
}

/** Converts a failed check of a request to an error `field must be …`, with the field, its value and what is allowed. */
export function validationError(issue: v.BaseIssue<unknown>): ApiError {
  const field = joinPath(issue.path);
  // The input of a check of several fields is the whole body.
  const value = issue.path ? issue.path.at(-1)?.value : issue.input;
  const missing = value === undefined;
  const message = field
    ? `${field} ${missing ? "is required" : `must be ${issue.message}`}`
    : `the body must be ${issue.message}`;
  return new ApiError("validation_error", message, {
    details: { field: field || "body", value: shown(value), allowed: issue.message },
  });
}

/** Joins the keys of a path to a field name such as `stop_sequences[0]`. */
function joinPath(path: v.BaseIssue<unknown>["path"]): string {
  let field = "";
  for (const { key } of path ?? []) {
    field += typeof key === "number" ? `[${key}]` : `${field && "."}${String(key)}`;
  }
  return field;
}

/** Converts any error to one that is safe to send to a client: internal errors become general messages without details. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof ResonantError) {
    const { message, where: field, code } = inContract(error);
    switch (code) {
      case "invalid_argument":
        return new ApiError("validation_error", message, field ? { details: { field } } : {});
      case "state":
        return new ApiError("conflict", message, { details: { field: "state" } });
      case "model":
        return new ApiError("model_error", message, { cause: error });
      case "shader":
        return new ApiError("model_error", "a kernel failed; see the server's log", { cause: error });
      case "out_of_memory":
      case "device_lost":
      case "no_adapter":
        return new ApiError("resource_error", `the accelerator cannot serve this now (${code})`, {
          headers: { "Retry-After": "10" },
          cause: error,
        });
      default:
    }
  }
  return new ApiError("internal_error", "an unexpected error; see the server's log for this request's id", {
    cause: error,
  });
}
