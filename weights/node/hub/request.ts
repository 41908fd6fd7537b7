import { setTimeout as delay } from "node:timers/promises";
import { ResonantError } from "../../../common/errors.ts";
import { invalidFile } from "../../refuse.ts";
import { type Fetch, type HttpProxy, shownProxy } from "./proxy.ts";

/** How long to keep trying with a hub that fails. */
export interface Patience {
  /** Failed attempts in a row that bring nothing new, before giving up. */
  readonly tries: number;
  /** Pause before the second attempt, in milliseconds; doubled before each further one. */
  readonly waitMs: number;
  /** Milliseconds without a byte after which an attempt counts as failed. */
  readonly stallMs: number;
}

export const PATIENCE: Patience = { tries: 5, waitMs: 500, stallMs: 30_000 };

/** A hub, and how to make requests to it. */
export interface Hub {
  readonly endpoint: string;
  readonly token: string | undefined;
  readonly fetch: Fetch;
  /** The proxy through which it is reached, for errors. */
  readonly proxy: HttpProxy | undefined;
  readonly patience: Patience;
  readonly signal: AbortSignal | undefined;
}

/** Thrown for a failure that may pass. */
export class Transient extends Error {
  /** How many milliseconds the server asks to wait, if it does. */
  readonly waitMs: number;

  constructor(message: string, waitMs = 0) {
    super(message);
    this.waitMs = waitMs;
  }
}

/** Thrown when patience has ended and the hub has given no good answer. */
export class HubUnreachable extends ResonantError {}

export interface Answer {
  readonly status: number;
  /** The hub's own answer, on the way to the last one. */
  readonly headers: Headers;
  /** The last answer; for HEAD it may be the redirect that leaves the hub. */
  readonly response: Response;
  /** Whether the last answer came from the hub, not from the place where its files lie. */
  readonly fromHub: boolean;
}

const MOST_REDIRECTS = 10;
const LONGEST_WAIT_MS = 60_000;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * Makes one request, and follows redirects. The token goes only to the hub's own origin, and not again once a redirect has
 * left it. A HEAD follows redirects within the hub only, because the hub's answer has what it asks for.
 * @param where what errors name
 * @throws ResonantError `invalid_file` for redirects in a loop, or to a place where no file can be
 */
export async function ask(
  hub: Hub,
  method: "GET" | "HEAD",
  url: string,
  options: { readonly where: string; readonly signal: AbortSignal; readonly range?: string | undefined },
): Promise<Answer> {
  const { where, signal, range } = options;
  const { origin } = new URL(hub.endpoint);
  const said = new Headers();
  const seen = new Set<string>();
  let next = new URL(url);
  let fromHub = true;
  for (;;) {
    if (seen.has(next.href) || seen.size > MOST_REDIRECTS)
      throw invalidFile(where, "the hub's redirects go in a circle", "Is HF_ENDPOINT the address of a hub?");
    seen.add(next.href);
    const response = await hub.fetch(next, {
      method,
      redirect: "manual",
      signal,
      headers: {
        // Lengths and ranges are those of the file itself only if it comes without compression.
        "Accept-Encoding": "identity",
        "User-Agent": "resonant",
        ...(range ? { Range: range } : {}),
        ...(fromHub && hub.token ? { Authorization: `Bearer ${hub.token}` } : {}),
      },
    });
    const redirected = REDIRECTS.has(response.status);
    if (fromHub) {
      for (const [name, value] of response.headers)
        if (!(redirected && name === "content-length")) said.set(name, value);
    }
    if (!redirected) return { status: response.status, headers: said, response, fromHub };
    await response.body?.cancel();
    const target = redirectTarget(response, next, where);
    fromHub &&= target.origin === origin;
    if (method === "HEAD" && !fromHub) return { status: 200, headers: said, response, fromHub };
    next = target;
  }
}

function redirectTarget(response: Response, from: URL, where: string): URL {
  const location = response.headers.get("Location") ?? "";
  const target = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  const safe = from.protocol === "https:" ? /^https:$/ : /^https?:$/;
  if (target && location && safe.test(target.protocol)) return target;
  throw invalidFile(where, "the hub redirects to no place that a file can be fetched from");
}

/** `Retry-After` gives seconds or a date; the result is in milliseconds, at most a minute. */
export function retryAfter(headers: Headers): number {
  const text = headers.get("Retry-After") ?? "";
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return ms > 0 ? Math.min(ms, LONGEST_WAIT_MS) : 0;
}

/**
 * Tries again, with longer and longer pauses, while the network or the hub fails.
 * @param progress a number that grows as data arrives; each time it does, patience starts again
 * @throws HubUnreachable when patience has ended; any other error of an attempt
 */
export async function patiently<T>(
  hub: Hub,
  where: string,
  attempt: () => Promise<T>,
  progress: () => number = () => 0,
): Promise<T> {
  const { tries, waitMs } = hub.patience;
  let best = progress();
  for (let failed = 0; ; ) {
    hub.signal?.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      hub.signal?.throwIfAborted();
      const transient = asTransient(error);
      if (!transient) throw error;
      if (progress() > best) failed = 0;
      best = Math.max(best, progress());
      failed++;
      if (failed >= tries) throw unreachable(hub, where, failed, transient);
      await delay(Math.max(waitMs * 2 ** (failed - 1), transient.waitMs), undefined, {
        ...(hub.signal ? { signal: hub.signal } : {}),
      }).catch((cause) => {
        hub.signal?.throwIfAborted();
        throw cause;
      });
    }
  }
}

/** A stopwatch that aborts an attempt when nothing has arrived for too long; `beat` restarts it. */
export function stallGuard(hub: Hub): { signal: AbortSignal; beat(): void; end(): void } {
  const { stallMs } = hub.patience;
  const stalled = new AbortController();
  const timer = setTimeout(
    () => stalled.abort(new Transient(`nothing came for ${stallMs / 1000} s`)),
    stallMs,
  );
  return {
    signal: hub.signal ? AbortSignal.any([hub.signal, stalled.signal]) : stalled.signal,
    beat: () => timer.refresh(),
    end: () => clearTimeout(timer),
  };
}

/** fetch() throws a TypeError for every network failure, with the reason as its cause, or as that one's. */
function asTransient(error: unknown): Transient | undefined {
  if (error instanceof Transient) return error;
  if (!(error instanceof TypeError && error.cause instanceof Error)) return undefined;
  const reason = rootOf(error.cause);
  return new Transient(reason.message || errorCode(reason));
}

const rootOf = (error: Error): Error => (error.cause instanceof Error ? rootOf(error.cause) : error);

const errorCode = (error: Error): string => ("code" in error ? String(error.code) : error.name);

function unreachable(hub: Hub, where: string, failed: number, cause: Transient): HubUnreachable {
  const times = failed === 1 ? "once" : `${failed} times`;
  const through = hub.proxy ? ` through the proxy ${shownProxy(hub.proxy)}` : "";
  const network = hub.proxy
    ? `Check ${hub.proxy.variable} and NO_PROXY`
    : "Where a proxy leads to the network, set HTTPS_PROXY (or HTTP_PROXY)";
  return new HubUnreachable(
    "invalid_file",
    `it could not be fetched from ${hub.endpoint}${through} (tried ${times}: ${cause.message})`,
    {
      where,
      fix: `Try again later: what has been downloaded is kept. ${network}. Without a network, set HF_HUB_OFFLINE=1`,
      cause,
    },
  );
}
