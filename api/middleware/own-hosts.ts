import { isIP } from "node:net";
import { createMiddleware } from "hono/factory";
import type { ApiContext, Env } from "../context.ts";
import { ApiError } from "../errors.ts";
import { hostName, isFixedName, isLoopbackAddress, isLoopbackName } from "../hosts.ts";
import { type Settings, variableOf } from "../settings.ts";

type HostSettings = Pick<Settings, "host" | "allowedHosts" | "trustProxy">;
type OriginSettings = HostSettings & Pick<Settings, "apiKeys" | "corsOrigins">;

/**
 * Refuses requests for hosts that this server does not answer for. A page's owner can make its own name lead to this machine
 * (DNS rebinding), and the browser then takes this server for the page's own; but it still says the page's name. So a server
 * that listens on loopback answers for loopback's names alone, unless proxies stand in front or hosts are named. Elsewhere
 * it also answers for addresses, by which probes ask: nobody can make those lead anywhere else.
 */
export function answerOwnHosts(settings: HostSettings) {
  const { allowedHosts, host, trustProxy } = settings;
  const onLoopback = trustProxy === 0 && isLoopbackName(host);
  const restricted = allowedHosts.length > 0 || onLoopback;
  const isOwn = (name: string): boolean =>
    isLoopbackName(name) || isAllowed(name, settings) || (isIP(name) > 0 && !onLoopback);
  return createMiddleware<Env>(async (c, next) => {
    const name = nameOf(c);
    if (restricted && !isOwn(name)) {
      const known = allowedHosts.length > 0 ? "" : " It listens on loopback.";
      throw new ApiError(
        "forbidden",
        `this server does not answer for the host ${name}.${known} ${variableOf("allowedHosts")} names hosts`,
        { details: { field: "Host", value: name } },
      );
    }
    await next();
  });
}

const nameOf = (c: ApiContext): string => hostName(c.req.header("Host") ?? "") ?? "";

const isAllowed = (name: string, { allowedHosts }: HostSettings): boolean =>
  allowedHosts.includes("*") || allowedHosts.includes(name);

/**
 * Refuses a page of another origin, where neither a key nor `CORS_ORIGINS` says who may do this. Programs send no `Origin`,
 * and a page of this server has the server's own.
 * @param what what the page asks for: "sessions" or a field of the request
 * @throws ApiError `forbidden`
 */
export function refuseOtherPages(c: ApiContext, settings: OriginSettings, what: string): void {
  if (settings.apiKeys.length > 0 || !isOtherPage(c, settings)) return;
  throw new ApiError(
    "forbidden",
    `${what} cannot be used by pages of other origins, unless ${variableOf("corsOrigins")} names them or there are ${variableOf("apiKeys")}`,
    { details: { field: what } },
  );
}

function isOtherPage(c: ApiContext, settings: OriginSettings): boolean {
  const origin = c.req.header("Origin");
  if (origin !== undefined && settings.corsOrigins.includes(origin)) return false;
  if (isRebound(c, settings)) return true;
  if (origin === undefined) return /^(cross-site|same-site)$/.test(c.req.header("Sec-Fetch-Site") ?? "");
  // The scheme may differ: a proxy in front may speak TLS.
  return !URL.canParse(origin) || new URL(origin).host !== c.req.header("Host")?.toLowerCase();
}

/** Whether a name that is not this machine's leads to its loopback. */
function isRebound(c: ApiContext, settings: HostSettings): boolean {
  if (settings.trustProxy > 0 || !isLoopbackAddress(c.env.incoming.socket.remoteAddress ?? "")) return false;
  const name = nameOf(c);
  return !isFixedName(name) && !isAllowed(name, settings);
}
