import { createHash, timingSafeEqual } from "node:crypto";
import { createMiddleware } from "hono/factory";
import { RateLimiterMemory, RateLimiterRes } from "rate-limiter-flexible";
import type { ApiContext, Env } from "../context.ts";
import { ApiError } from "../errors.ts";
import type { Settings } from "../settings.ts";
import { addressOf } from "./client-address.ts";

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

/** Returns the request's bearer key, or an empty text. */
export const bearerKey = (c: ApiContext): string =>
  /^bearer +(\S+)\s*$/i.exec(c.req.header("Authorization") ?? "")?.[1] ?? "";

/** Returns the password of HTTP's basic authentication, which browsers ask their user for; or an empty text. */
function basicPassword(c: ApiContext): string {
  const [, encoded = ""] = /^basic +(\S+)\s*$/i.exec(c.req.header("Authorization") ?? "") ?? [];
  const text = Buffer.from(encoded, "base64").toString();
  return text.slice(text.indexOf(":") + 1);
}

/** How a client may present a key: as a bearer token, or on pages also as the password of basic authentication. */
export type KeyForm = "bearer" | "page";

/** Pairs of an address and a key that are remembered at most. */
const MOST_KNOWN = 10_000;

/**
 * Requires one of the keys, compared in constant time. Without keys it accepts every request. After `keyAttempts` wrong keys
 * within a minute, an address gets 429 for every key but those that were right before from there: guessing is slow, and who
 * shares the address with a guesser can work on.
 */
export function authenticate(settings: Pick<Settings, "apiKeys" | "keyAttempts" | "trustProxy">) {
  const { apiKeys, keyAttempts } = settings;
  const keys = apiKeys.map(digest);
  const wrong = new RateLimiterMemory({ points: keyAttempts, duration: 60 });
  const known = new Set<string>();
  const isKey = (key: string): boolean => {
    const given = digest(key);
    // Compare with every key, so that the time does not reveal which one matched.
    const matches = keys.map((each) => timingSafeEqual(each, given));
    return matches.includes(true);
  };
  const check = async (c: ApiContext, form: KeyForm): Promise<void> => {
    const key = bearerKey(c) || (form === "page" ? basicPassword(c) : "");
    const challenge = form === "page" ? 'Bearer, Basic realm="API key", charset="UTF-8"' : "Bearer";
    const unauthorized = new ApiError("unauthorized", "Invalid API key", {
      headers: { "WWW-Authenticate": challenge },
    });
    if (key === "") throw unauthorized;
    const right = isKey(key);
    if (keyAttempts > 0) {
      const address = addressOf(c, settings);
      const pair = digest(`${address} ${key}`).toString("base64");
      if (!known.has(pair)) {
        const { consumedPoints = 0, msBeforeNext = 0 } = (await wrong.get(address)) ?? {};
        if (consumedPoints >= keyAttempts) throw tooMany(msBeforeNext);
        if (right) remember(known, pair);
        else await wrong.consume(address).catch(ignoreRefusal);
      }
    }
    if (!right) throw unauthorized;
  };
  return (form: KeyForm = "bearer") =>
    createMiddleware<Env>(async (c, next) => {
      if (keys.length > 0) await check(c, form);
      await next();
    });
}

function remember(known: Set<string>, pair: string): void {
  for (const oldest of known) {
    if (known.size < MOST_KNOWN) break;
    known.delete(oldest);
  }
  known.add(pair);
}

/** Several requests at the same moment may pass the check, and the last ones find no point left. */
function ignoreRefusal(refusal: unknown): void {
  if (!(refusal instanceof RateLimiterRes)) throw refusal;
}

const tooMany = (milliseconds: number): ApiError =>
  new ApiError("rate_limit_exceeded", "too many wrong API keys from this address", {
    headers: { "Retry-After": String(Math.max(1, Math.ceil(milliseconds / 1000))) },
  });
