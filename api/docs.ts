import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { Hono } from "hono";
import { ResonantError } from "../common/errors.ts";

const JAVASCRIPT = "text/javascript; charset=utf-8";
const CSS = "text/css; charset=utf-8";

/** What `build.mjs` puts into dist/docs for the pages: all that /docs/assets/ serves. */
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
 * The API's documentation pages, from files of this installation alone: GET /docs (Swagger UI), /redoc (ReDoc), and
 * /docs/assets/:file. Their links are relative, so they also work below a prefix.
 * @param options.openApiUrl where the OpenAPI document is, on the same origin, absolute or relative to the pages
 * @throws ResonantError `invalid_file`, from a request, where the build has put no dist/docs
 */
export function docsRoutes(options: { openApiUrl: string }): Hono {
  const pages = {
    "/docs": page(options.openApiUrl, ["swagger-ui.css"], ["swagger-ui-bundle.js", "swagger.js"]),
    "/redoc": page(options.openApiUrl, [], ["redoc.standalone.js", "redoc.js"]),
  };
  const routes = new Hono();
  for (const [path, html] of Object.entries(pages)) {
    routes.get(path, async (c) => {
      // A missing build is told here, where a person looks, not by an empty page.
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
  // Swagger UI and ReDoc style their elements as they go, and ReDoc's search runs in a worker made from a blob.
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
    `<noscript>This page needs JavaScript. The document that it shows is <a href="${escapeAttribute(openApiUrl)}">here</a>.</noscript>`,
    ...scripts.map((file) => `<script src="docs/assets/${file}"></script>`),
    "</body></html>",
  ];
  return `${lines.join("\n")}\n`;
}

const escapeAttribute = (text: string): string =>
  text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);

let loaded: Promise<ReadonlyMap<string, Asset>> | undefined;

/** Read once; a failure is not kept, so that a build made meanwhile is found. */
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

/** The same folder is ../dist/docs from the sources and ./docs from the bundle. */
async function readBuilt(file: string): Promise<Uint8Array<ArrayBuffer>> {
  let cause: unknown;
  for (const place of ["../dist/docs", "./docs"]) {
    try {
      return new Uint8Array(await readFile(new URL(`${place}/${file}`, import.meta.url)));
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
