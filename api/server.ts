import { createServer, type Server, STATUS_CODES } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { getRequestListener, RequestError } from "@hono/node-server";
import { createApp } from "./app.ts";
import { ApiError } from "./errors.ts";
import type { Service } from "./service.ts";

/** A running HTTP server. */
export interface Listening {
  readonly port: number;
  /** Stops accepting requests, lets running and waiting ones finish within the drain time-out, then closes everything. */
  drain(): Promise<void>;
}

/** Serves `service` over HTTP. @throws Error of Node, such as `EADDRINUSE`, if the server cannot listen on the address */
export async function listen(service: Service): Promise<Listening> {
  const { host, port, headersTimeout, requestTimeout, keepAliveTimeout } = service.settings;
  const app = createApp(service);
  const errorHandler = (error: unknown): Response => {
    if (error instanceof RequestError) {
      return Response.json(new ApiError("validation_error", error.message).body(), { status: 400 });
    }
    service.log.error({ err: error }, "a request failed outside of the application");
    return Response.json(new ApiError("internal_error", "an unexpected error").body(), { status: 500 });
  };
  const listener = getRequestListener(app.fetch, { errorHandler, overrideGlobalObjects: false });
  const server = createServer(
    {
      headersTimeout: headersTimeout * 1000,
      requestTimeout: requestTimeout * 1000,
      keepAliveTimeout: keepAliveTimeout * 1000,
      connectionsCheckingInterval: Math.min(1000, headersTimeout * 1000),
    },
    (incoming, outgoing) => {
      // An idle connection must not keep a draining server open.
      outgoing.once("close", () => service.draining && setImmediate(() => server.closeIdleConnections()));
      listener(incoming, outgoing);
    },
  );
  server.on("clientError", refuseMalformed);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  return { port: (server.address() as AddressInfo).port, drain: () => drain(server, service) };
}

/** Answers requests that never reach the application: malformed HTTP, or headers that are too large or too slow. */
function refuseMalformed(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === "ECONNRESET" || !socket.writable) return;
  const status =
    error.code === "HPE_HEADER_OVERFLOW" ? 431 : error.code === "ERR_HTTP_REQUEST_TIMEOUT" ? 408 : 400;
  const message = status === 408 ? "the request did not come in time" : "the request is not valid HTTP";
  const body = JSON.stringify(new ApiError("validation_error", message).body());
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "Connection: close",
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}

async function drain(server: Server, service: Service): Promise<void> {
  service.drain();
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  const patience = setTimeout(() => {
    service.log.warn(
      `${service.admission.running} requests did not end in time; their connections are closed`,
    );
    server.closeAllConnections();
  }, service.settings.drainTimeout * 1000);
  await closed;
  clearTimeout(patience);
  service.close();
}
