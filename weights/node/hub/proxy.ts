import { createRequire } from "node:module";
import { ResonantError } from "../../../common/errors.ts";

type Variables = Readonly<Record<string, string | undefined>>;

/** A proxy, and the variable that names it. */
export interface HttpProxy {
  readonly url: URL;
  readonly variable: string;
}

/** The proxies for each scheme, and the hosts that are reached without one. */
export interface Proxies {
  readonly "http:": HttpProxy | undefined;
  readonly "https:": HttpProxy | undefined;
  /** Host names, or ends of host names, each with a port if it is for this one alone; `*`: every host. */
  readonly without: readonly { readonly host: string; readonly port: string | undefined }[];
}

/** As much of `fetch` as the hub needs. */
export type Fetch = (url: URL, init: RequestInit) => Promise<Response>;

const DEFAULT_PORTS: Readonly<Record<string, string>> = { "http:": "80", "https:": "443" };

/**
 * Reads `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, as curl does: in lower case they come first, `NO_PROXY` lists hosts, which
 * stand for their subdomains too, or is `*`.
 * @throws ResonantError `invalid_argument` for what is no address of an HTTP proxy; the value is not printed
 */
export function proxiesOf(env: Variables): Proxies {
  return {
    "http:": proxyOf(env, "HTTP_PROXY"),
    "https:": proxyOf(env, "HTTPS_PROXY"),
    without: (env.no_proxy ?? env.NO_PROXY ?? "")
      .toLowerCase()
      .split(/[\s,]+/)
      .filter((entry) => entry !== "")
      .map((entry) => {
        const [, host = entry, port] = /^(.*[^:]):(\d+)$/.exec(entry) ?? [];
        return { host: host.replace(/^\*?\.(?=.)/, "").replace(/^\[|\]$/g, ""), port };
      }),
  };
}

function proxyOf(env: Variables, name: string): HttpProxy | undefined {
  const lower = name.toLowerCase();
  const variable = env[lower] === undefined ? name : lower;
  const text = env[variable]?.trim();
  if (!text) return undefined;
  const address = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url && /^https?:$/.test(url.protocol) && url.hostname) return { url, variable };
  throw new ResonantError("invalid_argument", "this is not the address of an HTTP proxy", {
    where: variable,
    fix: "Set it to an address such as http://proxy.example.com:3128",
  });
}

/** Returns the proxy for an address; undefined if there is none. */
export function proxyFor(proxies: Proxies, { protocol, hostname, port }: URL): HttpProxy | undefined {
  const host = hostname.replace(/^\[|\]$/g, "");
  const own = port || DEFAULT_PORTS[protocol];
  const direct = proxies.without.some(
    (entry) =>
      (entry.port === undefined || entry.port === own) &&
      (entry.host === "*" || host === entry.host || host.endsWith(`.${entry.host}`)),
  );
  return direct || (protocol !== "http:" && protocol !== "https:") ? undefined : proxies[protocol];
}

/** Names a proxy in an error, without user and password. */
export const shownProxy = ({ url, variable }: HttpProxy): string =>
  `${url.protocol}//${url.host} (${variable})`;

/** Returns a `fetch` that asks the proxies. Bun and Deno ask them by themselves. */
export function fetchThrough(proxies: Proxies): Fetch {
  if (process.versions.bun !== undefined || process.versions.deno !== undefined) return fetch;
  const agents = new Map<string, object>();
  return (target, init) => {
    const proxy = proxyFor(proxies, target);
    if (!proxy) return fetch(target, init);
    const undici = loadUndici();
    const { href } = proxy.url;
    // Many proxies open tunnels to port 443 alone.
    const dispatcher = agents.get(href) ?? new undici.ProxyAgent({ uri: href, proxyTunnel: false });
    agents.set(href, dispatcher);
    return undici.fetch(target, { ...init, dispatcher });
  };
}

/** What is used of undici, which is loaded only where there is a proxy. Node's own `fetch` takes no agents of its. */
interface Undici {
  readonly ProxyAgent: new (options: { readonly uri: string; readonly proxyTunnel: boolean }) => object;
  fetch(url: URL, init: Omit<RequestInit, "dispatcher"> & { readonly dispatcher: object }): Promise<Response>;
}

const loadUndici = (): Undici => createRequire(import.meta.url)("undici") as Undici;
