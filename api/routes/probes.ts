import { accepts } from "hono/accepts";
import { metricsTypes } from "../metrics.ts";
import type { Operation } from "../operation.ts";
import { probeResponse } from "../schemas/responses.ts";

/** `GET /livez`: tells whether the engine still answers. */
export const liveOperation: Operation = {
  method: "get",
  path: "/livez",
  id: "live",
  tag: "Operation",
  summary: "Whether the engine is alive; if not, restart the server",
  answer: probeResponse,
  also: [503],
  errors: [],
  handle: (c, service) => {
    const detail = service.fault ?? null;
    return c.json({ status: detail === null ? "alive" : "dead", detail }, detail === null ? 200 : 503);
  },
};

/** `GET /readyz`: tells whether to send requests to this server. */
export const readyOperation: Operation = {
  method: "get",
  path: "/readyz",
  id: "ready",
  tag: "Operation",
  summary: "Whether the server accepts requests",
  answer: probeResponse,
  also: [503],
  errors: [],
  handle: (c, service) => {
    const { status } = service;
    if (status === "healthy") return c.json({ status: "ready", detail: null });
    return c.json({ status: "not ready", detail: service.fault ?? status }, 503);
  },
};

const [TEXT, OPENMETRICS] = ["text/plain", "application/openmetrics-text"];

/** `GET /health`: what `/readyz` tells, at the path where clients and load balancers of vLLM look for it. */
export const engineHealthOperation: Operation = {
  ...readyOperation,
  path: "/health",
  id: "engineHealth",
  summary: "Whether the server accepts requests, as `/readyz`",
};

/** `GET /metrics`. */
export const metricsOperation: Operation = {
  method: "get",
  path: "/metrics",
  id: "metrics",
  tag: "Operation",
  summary: "Metrics in Prometheus's text format, or in OpenMetrics where `Accept` asks for it",
  answer: { contentType: "text/plain" },
  errors: [],
  handle: async (c, { telemetry }) => {
    const wanted = accepts(c, { header: "Accept", supports: [TEXT, OPENMETRICS], default: TEXT });
    const format = wanted === OPENMETRICS ? "openmetrics" : "text";
    const headers = { "Content-Type": metricsTypes[format], Vary: "Accept" };
    return c.body(await telemetry.metrics.write(format), 200, headers);
  },
};
