import { ResonantError } from "../../engine/errors.ts";
import type { Logger } from "../log.ts";
import type { Settings } from "../settings.ts";
import { MemorySessionStore } from "./memory-store.ts";
import type { SessionStore } from "./session-store.ts";

/** The store that the settings name. @throws ResonantError `invalid_argument` where it is none */
export async function openSessionStore(
  { sessionStore: url, sessionTtl, maxSessions }: Settings,
  log: Logger,
): Promise<SessionStore> {
  const options = { ttl: sessionTtl * 1000, most: maxSessions };
  if (url === "memory") return new MemorySessionStore(options);
  const refuse = (cause?: unknown) =>
    // Without the URL, which may hold a password.
    new ResonantError("invalid_argument", "it is neither memory nor the URL of a Redis", {
      where: "SESSION_STORE",
      fix: "Write redis://host:6379, or rediss://user:password@host:6379/0",
      cause,
    });
  if (!/^rediss?:\/\/[^/]/.test(url) || !URL.canParse(url)) throw refuse();
  const { hostname, pathname, search, hash } = new URL(url);
  if (!hostname || search || hash || !/^(\/\d*)?$/.test(pathname)) throw refuse();
  const { RedisSessionStore } = await import("./redis-store.ts");
  try {
    return await RedisSessionStore.open({ ...options, url, log });
  } catch (cause) {
    throw refuse(cause);
  }
}
