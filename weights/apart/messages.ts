import { type ErrorCode, ResonantError } from "../../common/errors.ts";

/** What a thread is told first: which task it does, and with what. */
export interface Opening {
  readonly task: string;
  readonly data: unknown;
}

/** What a thread answers to its opening and to each call. */
export type Answer = { readonly value: unknown } | { readonly error: ErrorMessage };

/** An error on its way between threads: those of this project keep their parts. */
interface ErrorMessage {
  readonly name: string;
  readonly message: string;
  readonly code?: ErrorCode;
  readonly where?: string | undefined;
  readonly fix?: string | undefined;
}

export function errorMessage(error: unknown): ErrorMessage {
  if (error instanceof ResonantError) {
    const { name, problem: message, code, where, fix } = error;
    return { name, message, code, where, fix };
  }
  return error instanceof Error
    ? { name: error.name, message: error.message }
    : { name: "Error", message: String(error) };
}

export function errorOf({ name, message, code, where, fix }: ErrorMessage): Error {
  if (code !== undefined) return new ResonantError(code, message, { where, fix });
  return name === "RangeError" ? new RangeError(message) : new Error(message);
}
