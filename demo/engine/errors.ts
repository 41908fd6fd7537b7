import { type TransferHandler, transferHandlers } from "comlink";
import type { ErrorCode } from "../../common/errors.ts";

/** An error as it comes out of the worker. */
export interface Failure extends Error {
  readonly code: ErrorCode | "unexpected";
  /** The file, field or buffer concerned. */
  readonly where: string | undefined;
}

interface Wire {
  readonly message: string;
  readonly code: Failure["code"];
  readonly where: string | undefined;
}

/** Lets errors of the engine keep their code and place between the page and its worker, where both call this. */
export function sendErrors(): void {
  const handler = transferHandlers.get("throw") as TransferHandler<{ value: unknown }, Wire> | undefined;
  if (!handler) throw new Error("this Comlink does not send errors");
  transferHandlers.set("throw", {
    canHandle: handler.canHandle,
    serialize: ({ value }: { value: unknown }) => [wire(value), []],
    deserialize: (sent: unknown) => {
      const { message, ...rest } = sent as Wire;
      throw Object.assign(new Error(message), rest);
    },
  });
}

function wire(value: unknown): Wire {
  const { message = String(value), code = "unexpected", where } = (value ?? {}) as Partial<Wire>;
  return { message, code, where };
}

/** What to tell of whatever was thrown. */
export function failureOf(error: unknown): Failure {
  const { message, code, where } = wire(error);
  return Object.assign(error instanceof Error ? error : new Error(message), { code, where });
}
