import { createServer, type Server, STATUS_CODES } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { getRequestListener, RequestError } from "@hono/node-server";
import { createApp } from "./app.ts";
import { Connections } from "./connections.ts";
import { ApiError } from "./errors.ts";
import type { Service } from "./service.ts";

/** A running HTTP server. */
export interface Listening {
  readonly port: number;
  /**
   * Stops accepting requests, and resolves when the admitted ones have finished. Connections without an admitted request are
   * closed at once. What has not finished within the drain time-out is told so and cut off.
   */
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
    listener,
  );
  const connections = new Connections(server);
  server.on("clientError", refuseMalformed);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  return { port: (server.address() as AddressInfo).port, drain: () => drain(server, connections, service) };
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

/** Milliseconds for clients to read that their requests were cut off. */
const FAREWELL = 1000;

async function drain(server: Server, connections: Connections, service: Service): Promise<void> {
  service.drain();
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  connections.closeWhenDone();
  let farewell: NodeJS.Timeout | undefined;
  const patience = setTimeout(() => {
    const { running, waiting } = service.admission;
    service.log.warn(
      `cut off, since they did not end in time: ${running} running requests, ${waiting} waiting`,
    );
    service.cutOff();
    farewell = setTimeout(() => connections.destroy(), FAREWELL);
  }, service.settings.drainTimeout * 1000);
  await closed;
  clearTimeout(patience);
  clearTimeout(farewell);
  service.close();
}
