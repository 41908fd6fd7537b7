import { BlockList, isIP } from "node:net";
import { hostname } from "node:os";

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

/** Whether an address is one of this machine's own loopback. */
export function isLoopbackAddress(address: string): boolean {
  const version = isIP(address);
  return version > 0 && loopback.check(address, version === 4 ? "ipv4" : "ipv6");
}

/** Whether a host's name always leads to this machine's loopback, whoever asks and whatever a name server says. */
export const isLoopbackName = (name: string): boolean =>
  /(^|\.)localhost\.?$/.test(name) || isLoopbackAddress(name);

/** Whether a name cannot be made to lead elsewhere by its owner: an address, loopback's name, or this machine's own. */
export const isFixedName = (name: string): boolean =>
  isIP(name) > 0 || isLoopbackName(name) || name === hostname().toLowerCase();

/** Returns the name in a `Host` header or of an origin: lower case, without port and brackets; undefined if there is none. */
export function hostName(host: string): string | undefined {
  if (!URL.canParse(`http://${host}`)) return undefined;
  return new URL(`http://${host}`).hostname.replace(/^\[|\]$/g, "") || undefined;
}
