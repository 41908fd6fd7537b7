import { readFile } from "node:fs/promises";
import { isIPv4, type Socket } from "node:net";

/** Tells how many bytes that were sent on a connection its other end has not yet acknowledged; undefined: unknown. */
export type Unacknowledged = (socket: Socket) => number | undefined;

/**
 * Reads the system's table of connections. The system takes some megabytes of what is written to a connection at once, and
 * then nothing until much of that is gone: without the table, a slow reader looks like one who takes nothing. Only Linux has it.
 */
export async function readUnacknowledged(): Promise<Unacknowledged> {
  const tables = await Promise.all(
    ["/proc/net/tcp", "/proc/net/tcp6"].map((path) => readFile(path, "latin1").catch(() => "")),
  );
  const bytes = new Map<string, number>();
  for (const [, ends, queued] of tables.join("").matchAll(/^ *\d+: (\S+ \S+) \S+ ([0-9A-F]{8}):/gm)) {
    bytes.set(ends!, Number.parseInt(queued!, 16));
  }
  return ({ localAddress, localPort, remoteAddress, remotePort }) => {
    if (localAddress === undefined || remoteAddress === undefined) return undefined;
    return bytes.get(`${endOf(localAddress, localPort)} ${endOf(remoteAddress, remotePort)}`);
  };
}

/** Returns an end of a connection as the table writes it: each four bytes of the address as a little-endian word. */
export function endOf(address: string, port = 0): string {
  const bytes = isIPv4(address) ? address.split(".").map(Number) : bytesOf6(address);
  const words = Array.from({ length: bytes.length / 4 }, (_, i) => bytes.slice(4 * i, 4 * i + 4).reverse());
  return `${words.flat().map(hexOf(2)).join("")}:${hexOf(4)(port)}`;
}

const hexOf =
  (digits: number) =>
  (number: number): string =>
    number.toString(16).toUpperCase().padStart(digits, "0");

function bytesOf6(address: string): number[] {
  const [head, tail] = address
    .replace(/%.*$/, "")
    .split("::")
    .map((half) => half.split(":").filter(Boolean).flatMap(groupBytes));
  const given = [...head!, ...(tail ?? [])];
  return [...head!, ...Array<number>(16 - given.length).fill(0), ...(tail ?? [])];
}

/** The bytes of a group of an IPv6 address, of which the last may be an IPv4 address. */
function groupBytes(group: string): number[] {
  if (isIPv4(group)) return group.split(".").map(Number);
  const number = Number.parseInt(group, 16);
  return [number >> 8, number & 255];
}
