import type { ApiContext } from "../context.ts";
import type { Settings } from "../settings.ts";

/** Returns the address of the client, as the outermost trusted proxy saw it. */
export function addressOf(c: ApiContext, { trustProxy }: Pick<Settings, "trustProxy">): string {
  // Each proxy appends the address of its caller. Earlier entries come from the client and cannot be trusted.
  const forwarded = (c.req.header("X-Forwarded-For") ?? "").split(",").map((part) => part.trim());
  const behindProxies = trustProxy > 0 ? forwarded.at(-trustProxy) : undefined;
  return behindProxies || c.env.incoming.socket.remoteAddress || "unknown";
}
