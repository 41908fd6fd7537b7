// What the API's documentation pages load, in dist/docs.
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { licencesOf, packageOf, RULE, textsOf } from "./licences.mjs";

const SWAGGER = "node_modules/swagger-ui-dist";
const REDOC = "node_modules/redoc";

/** Needs the development dependencies swagger-ui-dist and redoc. */
export function buildDocs() {
  mkdirSync("dist/docs", { recursive: true });
  for (const file of ["page.css", "favicon.svg"]) copyFileSync(`api/docs/${file}`, `dist/docs/${file}`);
  for (const file of ["swagger-ui-bundle.js", "swagger-ui.css"]) {
    writeFileSync(`dist/docs/${file}`, withoutSourceMap(`${SWAGGER}/${file}`));
  }
  // ReDoc's footer shows a logo of another host, the one thing it would load from elsewhere.
  const logo =
    /[\w$]+\?[\w$]+\.createElement\("img",\{[^{}]*src:"https:\/\/cdn\.redoc\.ly\/redoc\/logo-mini\.svg"\}\):null/g;
  const standalone = withoutSourceMap(`${REDOC}/bundles/redoc.standalone.js`);
  if (standalone.match(logo)?.length !== 1)
    throw new Error("ReDoc's footer has changed: mend build/docs.mjs");
  const local = standalone.replace(logo, "null");
  if (/cdn\.redoc|fonts\.googleapis/.test(local))
    throw new Error("ReDoc loads from other hosts: mend build/docs.mjs");
  writeFileSync("dist/docs/redoc.standalone.js", local);
  writeLicences();
}

/**
 * The notices that Swagger UI and ReDoc ship, then the packages inside them, which only their source maps name. The text of
 * a licence is there if the package is installed here too.
 */
function writeLicences() {
  const notices = textsOf([
    `${SWAGGER}/NOTICE`,
    `${SWAGGER}/LICENSE`,
    `${SWAGGER}/swagger-ui-bundle.js.LICENSE.txt`,
    `${REDOC}/LICENSE`,
    ...readdirSync(`${REDOC}/bundles`)
      .filter((file) => /(standalone|worker)\.js\.LICENSE\.txt$/.test(file))
      .map((file) => `${REDOC}/bundles/${file}`),
  ]);
  const maps = [`${SWAGGER}/swagger-ui-bundle.js.map`, `${REDOC}/bundles/redoc.standalone.js.map`];
  const inside = maps.flatMap((map) => JSON.parse(readFileSync(map, "utf8")).sources.map(packageOf));
  const packages = licencesOf(inside.filter((name) => name !== undefined));
  writeFileSync("dist/docs/LICENSES.txt", [notices, packages].join(RULE));
}

/** The maps are several times the size, and are not shipped. */
function withoutSourceMap(file) {
  return readFileSync(file, "utf8").replace(/\s*(\/\/|\/\*)# sourceMappingURL=[^\n]*$/, "\n");
}
