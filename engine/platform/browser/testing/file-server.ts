import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A server of files on this machine that records the requests. */
export interface FileServer {
  readonly origin: string;
  /** The files by path: `/a/config.json`. */
  readonly files: Map<string, Buffer>;
  /** The requests in order, as `GET /a/config.json`. */
  readonly requests: string[];
  /** May answer instead of the server; returns whether it did. */
  intercept: (request: IncomingMessage, response: ServerResponse) => boolean;
  close(): Promise<void>;
}

const TYPES: Readonly<Record<string, string>> = { html: "text/html", js: "text/javascript" };

/** Serves with ETags and lengths. A page of another origin can read them only if `intercept` allows it. */
export async function serveFiles(): Promise<FileServer> {
  const http = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "", "http://any");
    served.requests.push(`${request.method} ${pathname}`);
    if (served.intercept(request, response)) return;
    const file = served.files.get(pathname);
    if (!file) {
      response.writeHead(404).end("nothing here");
      return;
    }
    response.writeHead(200, {
      "Content-Type": TYPES[pathname.split(".").at(-1) ?? ""] ?? "application/octet-stream",
      "Content-Length": file.length,
      ETag: `"${createHash("sha256").update(file).digest("hex")}"`,
    });
    response.end(request.method === "HEAD" ? undefined : file);
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const served: FileServer = {
    origin: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    files: new Map(),
    requests: [],
    intercept: () => false,
    async close() {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
  return served;
}

/** Announces the whole file, and breaks the connection after half of it. */
export function breakOff(response: ServerResponse, file: Buffer): void {
  response.writeHead(200, { "Content-Length": file.length, ETag: '"broken"' });
  response.write(file.subarray(0, file.length / 2), () => response.destroy());
}
