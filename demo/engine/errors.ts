import { type TransferHandler, transferHandlers } from "comlink";
import type { ErrorCode } from "../../common/errors.ts";

/** An error as it comes out of the worker. */
export interface Failure extends Error {
  readonly code: ErrorCode | "unexpected";
  /** The library's option at fault. */
  readonly option: string | undefined;
  /** What is wrong, without where and how to mend it. */
  readonly problem: string;
  readonly fix: string | undefined;
}

type Wire = Pick<Failure, "message" | "code" | "option" | "problem" | "fix">;

/** Lets errors of the engine keep their code and their parts between the page and its worker, where both call this. */
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
  const { message = String(value), ...parts } = (value ?? {}) as Partial<Wire>;
  const { code = "unexpected", option, problem = message, fix } = parts;
  return { message, code, option, problem, fix };
}

/** What to tell of whatever was thrown. */
export function failureOf(error: unknown): Failure {
  const { message, ...parts } = wire(error);
  return Object.assign(new Error(message, { cause: error }), parts);
}

/** A failure's message, with the option at fault by its name on the page. */
export function messageOn(
  { message, option, problem, fix }: Failure,
  names: ReadonlyMap<string, string>,
): string {
  const name = option === undefined ? undefined : names.get(option);
  if (name === undefined) return message;
  return `${name}: ${problem}${fix === undefined ? "" : `. ${fix}`}`;
}
