import { ResonantError } from "../../common/errors.ts";
import type { Logger } from "../log.ts";
import { type Settings, variableOf } from "../settings.ts";
import { MemorySessionStore } from "./memory-store.ts";
import type { SessionStore, StoreOptions } from "./session-store.ts";

const optionsOf = ({ sessionTtl, maxSessions }: Settings): StoreOptions => ({
  ttl: sessionTtl * 1000,
  most: maxSessions,
});

/** Creates a store in this process's memory. */
export const memoryStore = (settings: Settings): SessionStore => new MemorySessionStore(optionsOf(settings));

/** Opens the store that the settings name. @throws ResonantError `invalid_argument` if its URL is not valid */
export async function openSessionStore(settings: Settings, log: Logger): Promise<SessionStore> {
  const { sessionStore: url } = settings;
  if (url === "memory") return memoryStore(settings);
  const refuse = (cause?: unknown) =>
    // The message omits the URL, since it may contain a password.
    new ResonantError("invalid_argument", "it is neither memory nor a Redis URL", {
      where: variableOf("sessionStore"),
      fix: "Write redis://host:6379, or rediss://user:password@host:6379/0",
      cause,
    });
  if (!/^rediss?:\/\/[^/]/.test(url) || !URL.canParse(url)) throw refuse();
  const { hostname, pathname, search, hash } = new URL(url);
  if (!hostname || search || hash || !/^(\/\d*)?$/.test(pathname)) throw refuse();
  const { RedisSessionStore } = await import("./redis-store.ts");
  try {
    return await RedisSessionStore.open({ ...optionsOf(settings), url, log });
  } catch (cause) {
    throw refuse(cause);
  }
}
