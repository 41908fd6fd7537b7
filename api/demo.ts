import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { serveStatic } from "@hono/node-server/serve-static";
import { Hono, type MiddlewareHandler } from "hono";
import { ResonantError } from "../common/errors.ts";
import { defaultModelFolder } from "../engine/platform/node/files.ts";

const HEADERS = {
  // The page loads models from any https address that the user types, or from this machine.
  "Content-Security-Policy": [
    "default-src 'none'",
    "script-src 'self'",
    "worker-src 'self' blob:", // the library runs a model's chat template and tokenizer in a worker of its own
    "style-src 'self'",
    "img-src 'self' data: blob:",
    "connect-src 'self' https: http://localhost:* http://127.0.0.1:*",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; "),
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
};

/**
 * Serves the browser page at /demo/ and the default model at /demo/model/, only from files of this installation.
 * Links are relative, so the page also works below a path prefix.
 * @throws ResonantError `invalid_file`, from a request, if the build has not created dist/demo
 */
export function demoRoutes(): Hono {
  const routes = new Hono();
  routes.get("/demo", (c) => c.redirect("demo/"));
  routes.use("/demo/*", async (c, next) => {
    await next();
    for (const [name, value] of Object.entries(HEADERS)) c.header(name, value);
    // The names of built files contain hashes of their contents.
    const cache = c.req.path.includes("/assets/") ? "public, max-age=31536000, immutable" : "no-cache";
    if (c.res.ok) c.header("Cache-Control", cache);
  });
  const files = (prefix: string, root: () => string | Promise<string>): MiddlewareHandler => {
    let serve: MiddlewareHandler | undefined;
    return async (c, next) => {
      const rewriteRequestPath = (path: string): string => path.slice(path.indexOf(prefix) + prefix.length);
      serve ??= serveStatic({ root: await root(), rewriteRequestPath, precompressed: true });
      return serve(c, next);
    };
  };
  routes.get("/demo/model/*", files("/demo/model", defaultModelFolder));
  routes.get("/demo/*", files("/demo", pageFolder));
  return routes;
}

/** Returns the page's folder: ../dist/demo relative to the sources, ./demo relative to the bundle. */
function pageFolder(): string {
  for (const place of ["../dist/demo", "./demo"]) {
    const folder = fileURLToPath(new URL(place, import.meta.url));
    if (existsSync(`${folder}/index.html`)) return folder;
  }
  throw new ResonantError("invalid_file", "the page is missing from this installation", {
    where: "dist/demo",
    fix: "Run `npm run build`, or install the package again",
  });
}
