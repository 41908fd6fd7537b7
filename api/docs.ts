import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { Hono } from "hono";
import { ResonantError } from "../common/errors.ts";

const JAVASCRIPT = "text/javascript; charset=utf-8";
const CSS = "text/css; charset=utf-8";

/** The files that `build.mjs` puts into dist/docs. /docs/assets/ serves these and nothing else. */
const ASSETS = new Map([
  ["favicon.svg", "image/svg+xml"],
  ["page.css", CSS],
  ["redoc.js", JAVASCRIPT],
  ["redoc.standalone.js", JAVASCRIPT],
  ["swagger.js", JAVASCRIPT],
  ["swagger-ui.css", CSS],
  ["swagger-ui-bundle.js", JAVASCRIPT],
]);

interface Asset {
  bytes: Uint8Array<ArrayBuffer>;
  type: string;
  etag: string;
}

/**
 * Serves the API's documentation pages, only from files of this installation: GET /docs (Swagger UI), /redoc (ReDoc), and
 * /docs/assets/:file. Links are relative, so the pages also work below a path prefix.
 * @param options.openApiUrl URL of the OpenAPI document on the same origin, absolute or relative to the pages
 * @throws ResonantError `invalid_file`, from a request, if the build has not created dist/docs
 */
export function docsRoutes(options: { openApiUrl: string }): Hono {
  const pages = {
    "/docs": page(options.openApiUrl, ["swagger-ui.css"], ["swagger-ui-bundle.js", "swagger.js"]),
    "/redoc": page(options.openApiUrl, [], ["redoc.standalone.js", "redoc.js"]),
  };
  const routes = new Hono();
  for (const [path, html] of Object.entries(pages)) {
    routes.get(path, async (c) => {
      // If the build is missing, the user sees an error here instead of an empty page.
      await loadAssets();
      return c.html(html, 200, HEADERS);
    });
  }
  routes.get("/docs/assets/:file", async (c) => {
    const file = c.req.param("file");
    if (!ASSETS.has(file)) return c.notFound();
    const { bytes, type, etag } = (await loadAssets()).get(file)!;
    const headers = { ETag: etag, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff" };
    if (c.req.header("If-None-Match")?.includes(etag)) return c.body(null, 304, headers);
    return c.body(bytes, 200, { ...headers, "Content-Type": type });
  });
  return routes;
}

const HEADERS = {
  // Swagger UI and ReDoc set inline styles, and ReDoc's search runs in a worker that is loaded from a blob.
  "Content-Security-Policy": [
    "default-src 'self'",
    "img-src 'self' data:",
    "style-src 'self' 'unsafe-inline'",
    "script-src 'self'",
    "worker-src 'self' blob:",
    "connect-src 'self'",
    "font-src 'self' data:",
    "object-src 'none'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join("; "),
  "Cache-Control": "no-cache",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
};

function page(openApiUrl: string, styles: string[], scripts: string[]): string {
  const lines = [
    '<!doctype html><html lang="en"><head><meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    "<title>Resonant API</title>",
    '<link rel="icon" href="docs/assets/favicon.svg" type="image/svg+xml">',
    ...[...styles, "page.css"].map((file) => `<link rel="stylesheet" href="docs/assets/${file}">`),
    `</head><body data-openapi="${escapeAttribute(openApiUrl)}">`,
    '<div id="page"></div>',
    `<noscript>This page needs JavaScript. You can also read <a href="${escapeAttribute(openApiUrl)}">the OpenAPI document</a>.</noscript>`,
    ...scripts.map((file) => `<script src="docs/assets/${file}"></script>`),
    "</body></html>",
  ];
  return `${lines.join("\n")}\n`;
}

const escapeAttribute = (text: string): string =>
  text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);

let loaded: Promise<ReadonlyMap<string, Asset>> | undefined;

/** Reads the files once. After a failure the next call tries again, since a build may have been made in the meantime. */
function loadAssets(): Promise<ReadonlyMap<string, Asset>> {
  loaded ??= readAssets().catch((error) => {
    loaded = undefined;
    throw error;
  });
  return loaded;
}

async function readAssets(): Promise<ReadonlyMap<string, Asset>> {
  const read = async ([file, type]: [string, string]): Promise<[string, Asset]> => {
    const bytes = await readBuilt(file);
    const hash = createHash("sha256").update(bytes).digest("base64url").slice(0, 22);
    return [file, { bytes, type, etag: `"${hash}"` }];
  };
  return new Map(await Promise.all(Array.from(ASSETS, read)));
}

/** Reads a built file. Its folder is ../dist/docs relative to the sources, ./docs relative to the bundle. */
async function readBuilt(file: string): Promise<Uint8Array<ArrayBuffer>> {
  let cause: unknown;
  for (const folder of ["../dist/docs", "./docs"]) {
    try {
      return new Uint8Array(await readFile(new URL(`${folder}/${file}`, import.meta.url)));
    } catch (error) {
      cause ??= error;
    }
  }
  throw new ResonantError("invalid_file", "the documentation pages are missing from this installation", {
    where: `dist/docs/${file}`,
    fix: "Run npm run build, or install the package again",
    cause,
  });
}
