import { createHash, timingSafeEqual } from "node:crypto";
import { createMiddleware } from "hono/factory";
import type { ApiContext, Env } from "../context.ts";
import { ApiError } from "../errors.ts";

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

/** Returns the request's bearer key, or an empty text. */
export const bearerKey = (c: ApiContext): string =>
  /^bearer +(\S+)\s*$/i.exec(c.req.header("Authorization") ?? "")?.[1] ?? "";

/** Requires one of `keys` as bearer token, compared in constant time. Without keys it accepts every request. */
export function authenticate(keys: readonly string[]) {
  const known = keys.map(digest);
  return createMiddleware<Env>(async (c, next) => {
    if (known.length > 0) {
      const given = digest(bearerKey(c));
      // Compare with every key, so that the time does not reveal which one matched.
      const matches = known.map((key) => timingSafeEqual(key, given));
      if (!matches.includes(true)) {
        throw new ApiError("unauthorized", "Invalid API key", { headers: { "WWW-Authenticate": "Bearer" } });
      }
    }
    await next();
  });
}
