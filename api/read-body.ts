import { finished } from "node:stream/promises";
import { setTimeout } from "node:timers/promises";
import { abortable } from "../common/abortable.ts";
import type { ApiContext } from "./context.ts";
import { ApiError } from "./errors.ts";
import type { Service } from "./service.ts";

/** The most bytes that a character takes in JSON: two `\uXXXX` escapes. */
const BYTES_PER_CHARACTER = 12;

/** The kind of body that an operation accepts. */
export interface BodyKind {
  /** Matches the content type. */
  readonly type: RegExp;
  /** Completes the message "the body must be …". */
  readonly name: string;
}

/**
 * Reads a request's body.
 * @throws ApiError `unsupported_media_type` for another kind of body, `payload_too_large` as soon as it exceeds the limit,
 * `resource_error` as soon as all bodies together take too much memory, or if the server drains before all of it has come
 */
export async function readBody(
  c: ApiContext,
  { settings, limits, bodies, drained }: Service,
  { type, name }: BodyKind,
): Promise<Uint8Array> {
  if (!type.test(c.req.header("Content-Type") ?? "")) {
    throw new ApiError("unsupported_media_type", `the body must be ${name}`);
  }
  const coding = c.req.header("Content-Encoding") ?? "identity";
  if (coding.toLowerCase() !== "identity") {
    throw new ApiError("unsupported_media_type", "the body must not be compressed");
  }
  const { maxPromptChars, maxContextChars } = settings;
  // Default: enough for the largest request that all other limits allow.
  const largest =
    settings.maxBodyBytes ??
    BYTES_PER_CHARACTER * (16 * maxPromptChars + maxContextChars) + limits.stateChars + 2 ** 20;
  const most = Math.min(largest, settings.bodyMemoryBytes);
  const check = (size: number): void => {
    if (size <= most) return;
    throw new ApiError("payload_too_large", `the body must have at most ${most} bytes`);
  };
  const account = bodies.account(c.get("client") ?? "", c.env.outgoing);
  const take = (size: number): void => {
    check(size);
    account.require(size);
  };
  take(Number(c.req.header("Content-Length") ?? 0)); // before anything of it is read
  const parts: Uint8Array[] = [];
  let size = 0;
  const reader = c.req.raw.body?.getReader();
  const read = () => abortable(reader?.read() ?? Promise.resolve(undefined), drained);
  for (let next = await read(); next && !next.done; next = await read()) {
    size += next.value.length;
    try {
      take(size);
    } catch (error) {
      void drain(reader!);
      throw error;
    }
    parts.push(next.value);
  }
  return Buffer.concat(parts);
}

/** Reads a body to its end and discards it. If it takes too long, the HTTP listener closes the connection. */
async function drain(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  try {
    while (!(await reader.read()).done);
  } catch {} // the connection was closed
}

/** Milliseconds to wait for the rest of a refused body. The HTTP listener waits no longer than this, either. */
const PATIENCE = 500;

/**
 * Receives and discards the rest of a refused request, since some clients read no answer before they have sent everything.
 * @returns whether the request was received to its end; if not, the connection cannot be used again
 */
export async function discardBody({ env }: ApiContext): Promise<boolean> {
  const { incoming } = env;
  if (incoming.complete) return true;
  incoming.resume();
  const over = new AbortController();
  await Promise.race([
    finished(incoming, { writable: false, signal: over.signal }).catch(() => undefined),
    setTimeout(PATIENCE, undefined, { signal: over.signal }).catch(() => undefined),
  ]);
  over.abort();
  return incoming.complete;
}
