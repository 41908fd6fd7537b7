import { createMiddleware } from "hono/factory";
import type { Env } from "../context.ts";
import type { Service } from "../service.ts";

/** Asked for every few seconds, and of no interest then. */
const probes = new Set(["/livez", "/readyz", "/metrics"]);

/** Nginx's word for a client that left before its answer. */
const CLIENT_CLOSED_REQUEST = 499;

/** Logs and counts each request when the last byte of its answer is out, or its client has left. */
export const observe = (service: Service) =>
  createMiddleware<Env>(async (c, next) => {
    const start = performance.now();
    const { outgoing } = c.env;
    const { method, path } = c.req;
    c.header("X-Request-Id", c.get("requestId"));
    const gone = new AbortController();
    c.set("signal", gone.signal);
    outgoing.once("close", () => {
      if (!outgoing.writableFinished) gone.abort(new Error("the client has left"));
      const status = outgoing.writableFinished ? outgoing.statusCode : CLIENT_CLOSED_REQUEST;
      const duration = performance.now() - start;
      service.telemetry.answered(method, c.get("route") ?? "other", status, duration);
      service.log[probes.has(path) ? "debug" : "info"](
        { request_id: c.get("requestId"), method, path, status, duration_ms: duration },
        `${method} ${path} - Status: ${status} - Duration: ${duration.toFixed(2)}ms`,
      );
    });
    await next();
  });
