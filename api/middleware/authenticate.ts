import { createHash, timingSafeEqual } from "node:crypto";
import { createMiddleware } from "hono/factory";
import type { ApiContext, Env } from "../context.ts";
import { ApiError } from "../errors.ts";

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

/** The key that a request shows, or nothing. */
export const keyOf = (c: ApiContext): string =>
  /^bearer +(\S+)\s*$/i.exec(c.req.header("Authorization") ?? "")?.[1] ?? "";

/** Asks for one of `keys` as a bearer token, and compares in constant time; without keys everyone may pass. */
export function authenticate(keys: readonly string[]) {
  const known = keys.map(digest);
  return createMiddleware<Env>(async (c, next) => {
    if (known.length > 0) {
      const given = digest(keyOf(c));
      // All are compared, so that the time does not tell which one it was.
      const matches = known.map((key) => timingSafeEqual(key, given));
      if (!matches.includes(true)) {
        throw new ApiError("unauthorized", "Invalid API key", { headers: { "WWW-Authenticate": "Bearer" } });
      }
    }
    await next();
  });
}
