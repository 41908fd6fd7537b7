import { finished } from "node:stream/promises";
import { setTimeout } from "node:timers/promises";
import type { ApiContext } from "./context.ts";
import { ApiError } from "./errors.ts";
import type { Service } from "./service.ts";

/** Characters of a JSON text, escaped at worst. */
const BYTES_PER_CHARACTER = 12;

/** What a body may be. */
export interface BodyKind {
  /** Of its content type. */
  readonly type: RegExp;
  /** "the body must be …" */
  readonly name: string;
}

/**
 * A request's body, of a kind.
 * @throws ApiError `unsupported_media_type` for another kind, `payload_too_large` as soon as that is known
 */
export async function readBody(
  c: ApiContext,
  { settings, limits }: Service,
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
  // By default what the largest request needs that all other limits allow.
  const most =
    settings.maxBodyBytes ??
    BYTES_PER_CHARACTER * (16 * maxPromptChars + maxContextChars) + limits.stateChars + 2 ** 20;
  const check = (size: number): void => {
    if (size <= most) return;
    throw new ApiError("payload_too_large", `the body must have at most ${most} bytes`);
  };
  check(Number(c.req.header("Content-Length") ?? 0));
  const parts: Uint8Array[] = [];
  let size = 0;
  const reader = c.req.raw.body?.getReader();
  for (let next = await reader?.read(); next && !next.done; next = await reader?.read()) {
    size += next.value.length;
    if (size > most) void drain(reader!);
    check(size);
    parts.push(next.value);
  }
  return Buffer.concat(parts);
}

/** Reads to the end what has begun to be read; the listener cuts off what has none. */
async function drain(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  try {
    while (!(await reader.read()).done);
  } catch {} // cut off
}

/** Milliseconds for the rest of a body that nobody wants; the listener waits no longer, either. */
const PATIENCE = 500;

/**
 * Takes the rest of a refused request in, since some clients read no answer before all is sent.
 * @returns whether that was all of it: otherwise the connection can take no other request
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
