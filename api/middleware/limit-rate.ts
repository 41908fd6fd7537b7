import { createHash } from "node:crypto";
import { createMiddleware } from "hono/factory";
import { BurstyRateLimiter, RateLimiterMemory, RateLimiterRes } from "rate-limiter-flexible";
import type { ApiContext, Env } from "../context.ts";
import { ApiError } from "../errors.ts";
import type { Settings } from "../settings.ts";
import { bearerKey } from "./authenticate.ts";
import { addressOf } from "./client-address.ts";

/**
 * Identifies the client, by its API key or else by its address, and refuses requests above its rate and burst with 429. A
 * request counts as the number of its choices, which is known later: it is let in if one may come, and then charged. A client
 * that cannot pay for all of them is let in again when it could.
 */
export function limitRate(
  settings: Pick<Settings, "rateLimit" | "rateLimitBurst" | "trustProxy" | "apiKeys">,
) {
  const { rateLimit, rateLimitBurst } = settings;
  const steady = new RateLimiterMemory({ points: rateLimit, duration: 1 });
  const burst = new RateLimiterMemory({
    keyPrefix: "burst",
    points: rateLimitBurst,
    duration: Math.max(1, Math.ceil(rateLimitBurst / Math.max(1, rateLimit))),
  });
  const limiter = rateLimitBurst > 0 ? new BurstyRateLimiter(steady, burst) : steady;
  return createMiddleware<Env>(async (c, next) => {
    const client = clientOf(c, settings);
    c.set("client", client);
    c.set("charge", (choices) => {
      if (rateLimit === 0 || choices < 1) return;
      limiter.consume(client, choices).catch(async (refusal: RateLimiterRes) => {
        const seconds = refusal.msBeforeNext / 1000 + choices / rateLimit;
        await Promise.all([steady.block(client, seconds), burst.block(client, seconds)]);
      });
    });
    if (rateLimit > 0) {
      try {
        await limiter.consume(client);
      } catch (refusal) {
        if (!(refusal instanceof RateLimiterRes)) throw refusal;
        const seconds = Math.max(1, Math.ceil(refusal.msBeforeNext / 1000));
        throw new ApiError("rate_limit_exceeded", `more than ${rateLimit} requests a second`, {
          headers: { "Retry-After": String(seconds) },
        });
      }
    }
    await next();
  });
}

function clientOf(c: ApiContext, { trustProxy, apiKeys }: Pick<Settings, "trustProxy" | "apiKeys">): string {
  const key = apiKeys.length > 0 ? bearerKey(c) : "";
  if (key) return createHash("sha256").update(key).digest("hex");
  return addressOf(c, { trustProxy });
}
