import { ResonantError } from "../../../common/errors.ts";

/** Thrown when a server gives no answer, an error of its own, or only part of an answer. */
export class Unreachable extends ResonantError {}

/**
 * `fetch` with errors that say what the cause may be.
 * @throws Unreachable; the signal's reason
 */
export async function ask(url: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, init);
  } catch (cause) {
    init.signal?.throwIfAborted();
    throw unreachable(url, `it could not be fetched (${messageOf(cause)})`, whyUnreachable(url), cause);
  }
  if (response.status < 500 || init.method === "HEAD") return response;
  throw unreachable(url, `the server answers with HTTP ${response.status}`, "Try again later");
}

/** The page holds at most so many bytes of a body before it gives them to the browser, which may put them on disk. */
const PART_BYTES = 16 * 2 ** 20;

/** Reads a response's body. @throws Unreachable if it breaks off; the signal's reason */
export async function bodyOf(
  response: Response,
  url: string,
  options: { readonly signal?: AbortSignal | undefined; readonly onBytes?: (bytes: number) => void } = {},
): Promise<Blob> {
  const expected = lengthOf(response);
  const reader = response.body?.getReader();
  const done: Blob[] = [];
  let part: Uint8Array<ArrayBuffer>[] = [];
  let held = 0;
  let bytes = 0;
  const hand = (): void => {
    done.push(new Blob(part));
    [part, held] = [[], 0];
  };
  for (;;) {
    const read = await reader?.read().catch((cause) => {
      options.signal?.throwIfAborted();
      throw brokenOff(url, bytes, expected, cause);
    });
    if (!read?.value) break;
    part.push(read.value);
    held += read.value.byteLength;
    bytes += read.value.byteLength;
    if (held >= PART_BYTES) hand();
    options.onBytes?.(read.value.byteLength);
  }
  hand();
  // For a response of another origin the encoding may be hidden.
  const sound = response.type !== "cors";
  if (sound && expected !== undefined && bytes !== expected) throw brokenOff(url, bytes, expected);
  return new Blob(done);
}

/** Bytes of a response's body, if its headers give them. For a compressed body they give another length. */
export function lengthOf({ headers }: Response): number | undefined {
  const length = headers.get("Content-Length");
  const encoding = headers.get("Content-Encoding") ?? "identity";
  return length !== null && /^\d+$/.test(length) && encoding === "identity" ? Number(length) : undefined;
}

function brokenOff(url: string, bytes: number, expected: number | undefined, cause?: unknown): Unreachable {
  const of = expected === undefined ? "" : ` of ${expected}`;
  return unreachable(url, `truncated: it broke off after ${bytes}${of} bytes`, "Load it again", cause);
}

function whyUnreachable(url: string): string {
  const { origin, protocol } = new URL(url);
  const page = (globalThis as { location?: Location }).location;
  if (globalThis.navigator?.onLine === false) return "There is no network: load it once while there is one";
  if (page?.protocol === "https:" && protocol === "http:") return "A page over https fetches only over https";
  if (page && page.origin !== origin) {
    return `Is its server there, and does it allow this page (Access-Control-Allow-Origin: ${page.origin})?`;
  }
  return "Is its server running?";
}

const unreachable = (where: string, message: string, fix: string, cause?: unknown): Unreachable =>
  new Unreachable("invalid_file", message, { where, fix, cause });

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));
