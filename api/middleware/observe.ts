import { createMiddleware } from "hono/factory";
import type { Env } from "../context.ts";
import { ClientLeft } from "../errors.ts";
import type { Service } from "../service.ts";

/** Paths that monitoring requests every few seconds; they are logged only at level `debug`. */
const probes = new Set(["/livez", "/readyz", "/health", "/metrics"]);

/** Nginx's status for a client that disconnected before its answer was complete. */
const CLIENT_CLOSED_REQUEST = 499;

/** Logs and counts each request when its answer has been sent completely or its client has disconnected. */
export const observe = (service: Service) =>
  createMiddleware<Env>(async (c, next) => {
    const start = performance.now();
    const { outgoing } = c.env;
    const { method, path } = c.req;
    c.header("X-Request-Id", c.get("requestId"));
    const gone = new AbortController();
    c.set("signal", gone.signal);
    service.requests.add(gone);
    c.set("abandon", (why) => gone.abort(why));
    outgoing.once("close", () => {
      service.requests.delete(gone);
      if (!outgoing.writableFinished) gone.abort(new ClientLeft());
      const status = outgoing.writableFinished ? outgoing.statusCode : CLIENT_CLOSED_REQUEST;
      const duration = performance.now() - start;
      service.telemetry.answered(method, c.get("route") ?? "other", status, duration);
      service.log[probes.has(path) ? "debug" : "info"](
        { request_id: c.get("requestId"), method, path, status, duration_ms: duration },
        `${method} ${path} - Status: ${status} - Duration: ${duration.toFixed(2)}ms`,
      );
    });
    await next();
    // A stream of events is sent while it is computed, and `Readers` watches it. Everything else is sent now.
    if (c.res.headers.get("Content-Type")?.startsWith("text/event-stream")) return;
    outgoing.setTimeout(1000 * service.settings.idleTimeout, () => outgoing.destroy());
  });
