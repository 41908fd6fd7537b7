import { toJsonSchema } from "@valibot/to-json-schema";
import type * as v from "valibot";
import { ApiError, type ErrorKind } from "./errors.ts";
import type { Operation } from "./operation.ts";
import { errorResponse, openAiErrorResponse } from "./schemas/responses.ts";
import type { Service } from "./service.ts";
import type { Settings } from "./settings.ts";

type Json = Readonly<Record<string, unknown>>;

/** Returns the OpenAPI 3.1 document of `operations`, with the limits of the model that `service` serves. */
export function openApiDocument(operations: readonly Operation[], service: Service): Json {
  const secured = service.settings.apiKeys.length > 0;
  const schemas: Record<string, Json> = {};
  // A schema with a title is written once, under its name, and then referenced.
  const schema = (of: v.GenericSchema): Json => {
    const {
      $schema: _,
      title,
      ...json
    } = toJsonSchema(of, {
      target: "draft-2020-12",
      typeMode: "input",
      ignoreActions: ["check", "partial_check", "readonly"],
    }) as Json;
    if (typeof title !== "string") return json;
    schemas[title] = json;
    return { $ref: `#/components/schemas/${title}` };
  };
  const paths: Record<string, Json> = {};
  for (const operation of operations) {
    if (operation.offered?.(service.limits) === false) continue;
    const described = describe(operation, service, schema, secured);
    paths[operation.path] = { ...paths[operation.path], [operation.method]: described };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Resonant API",
      version: service.version,
      description: "Generation and retrieval with resonant language models.",
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/" }],
    paths,
    components: {
      schemas,
      ...(secured ? { securitySchemes: { bearer: { type: "http", scheme: "bearer" } } } : {}),
    },
  };
}

const meanings: Readonly<Record<ErrorKind, string>> = {
  validation_error: "a field is missing or has an invalid value",
  unauthorized: "the key is missing or wrong",
  forbidden: "the page's origin or the host is not one that the server answers for",
  not_found: "what the request names does not exist",
  method_not_allowed: "the path does not have this method; `Allow` lists those it has",
  conflict:
    "the state does not belong to this server and model; or the session is in use (`Retry-After`), exists already, is one too many, or is at another turn",
  payload_too_large: "the body is too large",
  unsupported_media_type: "the body has another content type, or is compressed",
  rate_limit_exceeded: "this client sends too many requests; `Retry-After` says when to try again",
  model_error: "the model failed",
  internal_error: "an unexpected error",
  resource_error:
    "the queue is full, the model is loading, memory is short, or the session store cannot be reached; `Retry-After` says when to try again",
};

/** Returns the schema of a server-sent event. */
const eventSchema = (description: string): Json => ({
  type: "object",
  description,
  properties: { event: { type: "string" }, data: { type: "string" } },
  required: ["data"],
});

const BYTES: Json = { type: "string", format: "binary" };

function describe(
  operation: Operation,
  service: Service,
  schema: (of: v.GenericSchema) => Json,
  secured: boolean,
): Json {
  const { answer, body, events, example, file, guarded, openAi } = operation;
  const content =
    "contentType" in answer
      ? {
          [answer.contentType]: {
            schema: answer.contentType.startsWith("text/") ? { type: "string" } : BYTES,
          },
        }
      : { "application/json": { schema: schema(answer) } };
  const stream = events ? { "text/event-stream": { schema: eventSchema(events) } } : {};
  const headers = {
    "X-Request-Id": { schema: { type: "string" }, description: "The id that the request gave, or a new one" },
  };
  const responses: Record<string, Json> = {
    200: { description: operation.summary, headers, content: { ...content, ...stream } },
  };
  for (const status of operation.also ?? [])
    responses[status] = { description: "The server is not ready or not healthy", headers, content };
  const kinds: ErrorKind[] = [
    ...operation.errors,
    ...(guarded && secured ? ["unauthorized" as const] : []),
    ...(operation.personal && !secured ? ["forbidden" as const] : []),
    ...(guarded && isLimited(service.settings, secured) ? ["rate_limit_exceeded" as const] : []),
    ...(openAi && body ? ["not_found" as const] : []),
    "method_not_allowed",
  ];
  const error = { "application/json": { schema: schema(openAi ? openAiErrorResponse : errorResponse) } };
  for (const kind of kinds) {
    const { status } = new ApiError(kind, "");
    const known = responses[status]?.description;
    const description = `\`${kind}\`: ${meanings[kind]}`;
    responses[status] = {
      description: known ? `${known}; ${description}` : description,
      headers,
      content: error,
    };
  }
  const parameters = (["params", "query", "headers"] as const).flatMap((from) => {
    const of = operation[from]?.(service.limits);
    return of ? parametersOf(schema(of), locations[from]) : [];
  });
  const taken = body
    ? {
        "application/json": {
          schema: schema(body(service.limits)),
          ...(example ? { example: example(service.limits) } : {}),
        },
      }
    : { "application/octet-stream": { schema: { ...BYTES, minLength: 1 } } };
  return {
    operationId: operation.id,
    tags: [operation.tag],
    summary: operation.summary,
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(guarded && secured ? { security: [{ bearer: [] }] } : {}),
    ...(body || file
      ? { requestBody: { required: true, ...(file ? { description: file } : {}), content: taken } }
      : {}),
    responses,
  };
}

const locations = { params: "path", query: "query", headers: "header" } as const;

/** Returns a parameter for each field of an object's schema. */
function parametersOf(
  { properties, required = [] }: Json,
  location: (typeof locations)[keyof typeof locations],
): Json[] {
  return Object.entries(properties as Record<string, Json>).map(([name, { description, ...schema }]) => ({
    name,
    in: location,
    required: (required as string[]).includes(name),
    ...(description === undefined ? {} : { description }),
    schema,
  }));
}

const isLimited = ({ rateLimit, keyAttempts }: Settings, secured: boolean): boolean =>
  rateLimit > 0 || (secured && keyAttempts > 0);
