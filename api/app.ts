import { Hono, type MiddlewareHandler } from "hono";
import { cors } from "hono/cors";
import { requestId } from "hono/request-id";
import type { ApiContext, Env } from "./context.ts";
import { demoRoutes } from "./demo.ts";
import { docsRoutes } from "./docs.ts";
import { ApiError, asApiError, ClientLeft, isFault } from "./errors.ts";
import { authenticate } from "./middleware/authenticate.ts";
import { limitRate } from "./middleware/limit-rate.ts";
import { observe } from "./middleware/observe.ts";
import { answerOwnHosts, refuseOtherPages } from "./middleware/own-hosts.ts";
import { openApiDocument } from "./openapi.ts";
import type { Operation } from "./operation.ts";
import { discardBody } from "./read-body.ts";
import {
  healthOperation,
  modelInfoOperation,
  modelOperation,
  modelsOperation,
  rootOperation,
} from "./routes/about.ts";
import { chatOperation } from "./routes/chat.ts";
import { completionsOperation } from "./routes/completions.ts";
import { generateOperation } from "./routes/generate.ts";
import { engineHealthOperation, liveOperation, metricsOperation, readyOperation } from "./routes/probes.ts";
import { retrieveOperation } from "./routes/retrieve.ts";
import {
  deleteSessionOperation,
  exportSessionOperation,
  forkSessionOperation,
  importSessionOperation,
  listSessionsOperation,
  SIGNATURE,
  sessionOperation,
} from "./routes/sessions.ts";
import { detokenizeOperation, tokenizeOperation } from "./routes/tokens.ts";
import type { Service } from "./service.ts";
import type { Settings } from "./settings.ts";

const allOperations: readonly Operation[] = [
  rootOperation,
  healthOperation,
  modelInfoOperation,
  generateOperation,
  retrieveOperation,
  listSessionsOperation,
  sessionOperation,
  deleteSessionOperation,
  forkSessionOperation,
  exportSessionOperation,
  importSessionOperation,
  modelsOperation,
  modelOperation,
  completionsOperation,
  chatOperation,
  tokenizeOperation,
  detokenizeOperation,
  engineHealthOperation,
  liveOperation,
  readyOperation,
  metricsOperation,
];

/** Creates the HTTP application that serves one model. */
export function createApp(service: Service): Hono<Env> {
  const { settings } = service;
  const app = new Hono<Env>();
  app.use(requestId({ limitLength: 128 }));
  app.use(observe(service));
  app.use(answerOwnHosts(settings));
  app.use(
    cors({
      origin: settings.corsOrigins.includes("*") ? "*" : [...settings.corsOrigins],
      exposeHeaders: ["X-Request-Id", "Retry-After", SIGNATURE],
    }),
  );
  const authenticated = authenticate(settings);
  const guards = [authenticated(), limitRate(settings)];
  const operations = allOperations.flatMap((operation) => offered(operation, settings));
  const refusePages: MiddlewareHandler<Env> = async (c, next) => {
    refuseOtherPages(c, settings, "sessions");
    await next();
  };
  for (const path of new Set(operations.map((operation) => operation.path))) {
    const sharing = operations.filter((operation) => operation.path === path);
    const { openAi = false, slashes } = sharing[0]!;
    const route = path.replace(/\{(\w+)\}/g, slashes ? ":$1{[^]+}" : ":$1{[^/]+}");
    app.use(route, async (c, next) => {
      c.set("route", path);
      c.set("openAi", openAi);
      await next();
    });
    for (const { method, guarded, personal, handle } of sharing) {
      if (personal) app.on(method.toUpperCase(), [route], refusePages);
      if (guarded) app.on(method.toUpperCase(), [route], ...guards);
      app.on(method.toUpperCase(), route, (c) => handle(c, service));
    }
    const allowed = sharing
      .map(({ method }) => (method === "get" ? "GET, HEAD" : method.toUpperCase()))
      .join(", ");
    app.all(route, () => {
      throw new ApiError("method_not_allowed", `only ${allowed}`, { headers: { Allow: allowed } });
    });
  }
  if (settings.docsAccess !== "off") {
    if (settings.docsAccess === "key") {
      for (const path of ["/openapi.json", "/docs", "/docs/*", "/redoc"])
        app.get(path, authenticated("page"));
    }
    app.get("/openapi.json", (c) => c.json(openApiDocument(operations, service)));
    app.route("/", docsRoutes({ openApiUrl: "openapi.json" }));
  }
  app.route("/", demoRoutes());
  app.notFound((c) => {
    c.set("openAi", isOpenAi(c.req.path));
    return refuse(c, service, new ApiError("not_found", `there is no ${c.req.path}`));
  });
  app.onError((error, c) => refuse(c, service, error));
  return app;
}

/** Returns an operation as the settings have it, or nothing. */
function offered(operation: Operation, { metricsAccess }: Settings): Operation[] {
  if (operation !== metricsOperation) return [operation];
  return metricsAccess === "off" ? [] : [{ ...operation, guarded: metricsAccess === "key" }];
}

/** Whether who asks for an unknown path reads OpenAI's errors: below `/v1`, except beside the contract's own paths. */
const isOpenAi = (path: string): boolean =>
  /^\/v1(\/|$)/.test(path) && !/^\/v1\/(health|model|generate|retrieve|sessions)(\/|$)/.test(path);

async function refuse(c: ApiContext, service: Service, error: unknown): Promise<Response> {
  if (c.get("signal").reason instanceof ClientLeft) return c.body(null);
  const apiError = asApiError(error);
  if (isFault(apiError)) {
    service.log.error({ err: apiError.cause ?? apiError, request_id: c.get("requestId") }, apiError.message);
  }
  const body = c.get("openAi") ? apiError.openAiBody() : apiError.body();
  for (const [name, value] of Object.entries(apiError.headers)) c.header(name, value);
  if (service.draining || !(await discardBody(c))) c.header("Connection", "close");
  return c.json(body, apiError.status);
}
