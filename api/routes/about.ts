import * as v from "valibot";
import { noModel } from "../errors.ts";
import type { Operation } from "../operation.ts";
import { modelInfo } from "../responses.ts";
import { modelNames } from "../schemas/limits.ts";
import {
  healthResponse,
  modelCard,
  modelInfoResponse,
  modelsResponse,
  rootResponse,
} from "../schemas/responses.ts";
import type { Service } from "../service.ts";

/** `GET /v1/health`: answers 503 only if the engine is dead, since probes restart the process then. */
export const healthOperation: Operation = {
  method: "get",
  path: "/v1/health",
  id: "health",
  tag: "About",
  summary: "Health of the server, and whether its model is loaded",
  answer: healthResponse,
  also: [503],
  errors: [],
  handle: (c, service) => {
    const { status } = service;
    const health = {
      status,
      model_loaded: service.loaded,
      uptime_seconds: (Date.now() - service.started) / 1000,
      version: service.version,
      timestamp: new Date().toISOString(),
    };
    return c.json(health, status === "unhealthy" ? 503 : 200);
  },
};

/** `GET /v1/model/info`. */
export const modelInfoOperation: Operation = {
  method: "get",
  path: "/v1/model/info",
  id: "modelInfo",
  tag: "About",
  summary: "Facts about the served model",
  answer: modelInfoResponse,
  errors: ["resource_error"],
  guarded: true,
  handle: (c, service) => c.json(modelInfo(service.model)),
};

/** `GET /v1/models`: lists the only model. */
export const modelsOperation: Operation = {
  method: "get",
  path: "/v1/models",
  id: "listModels",
  tag: "OpenAI",
  summary: "List the served models (OpenAI-compatible)",
  answer: modelsResponse,
  errors: ["resource_error"],
  openAi: true,
  guarded: true,
  handle: (c, service) => c.json({ object: "list", data: [cardOf(service)] }),
};

/** `GET /v1/models/{model}`. */
export const modelOperation: Operation = {
  method: "get",
  path: "/v1/models/{model}",
  slashes: true,
  id: "retrieveModel",
  tag: "OpenAI",
  summary: "One model by its id (OpenAI-compatible)",
  params: (limits) => v.object({ model: v.pipe(v.string(), v.metadata(modelNames(limits))) }),
  answer: modelCard,
  errors: ["not_found", "resource_error"],
  openAi: true,
  guarded: true,
  handle: (c, service) => {
    const card = cardOf(service);
    const wanted = c.req.param("model");
    if (wanted === card.id) return c.json(card);
    throw noModel(wanted ?? "");
  },
};

const cardOf = (service: Service) => ({
  id: service.model.name,
  object: "model",
  created: Math.floor(service.started / 1000),
  owned_by: "resonant",
});

/** `GET /`. */
export const rootOperation: Operation = {
  method: "get",
  path: "/",
  id: "root",
  tag: "About",
  summary: "Name and version of the API, and links to its pages",
  answer: rootResponse,
  errors: [],
  handle: (c, service) => {
    const page = (path: string) => (service.settings.docsAccess === "off" ? null : path);
    return c.json({
      name: "Resonant API",
      version: service.version,
      docs: page("/docs"),
      redoc: page("/redoc"),
      openapi: page("/openapi.json"),
      health: "/v1/health",
    });
  },
};
