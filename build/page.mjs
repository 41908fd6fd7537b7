// The browser page with its model, in dist/demo, each file also compressed.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { brotliCompress, gzip } from "node:zlib";

/** Needs the development dependency Vite and what the page imports. */
export async function buildPage() {
  const { build } = await import("vite");
  await build({ configFile: "demo/vite.config.ts", logLevel: "warn" });
  const files = readdirSync("dist/demo", { recursive: true })
    .filter((file) => /\.(html|js|css|svg)$/.test(file))
    .map((file) => `dist/demo/${file}`);
  for (const file of files) {
    const bytes = readFileSync(file);
    writeFileSync(`${file}.br`, await promisify(brotliCompress)(bytes));
    writeFileSync(`${file}.gz`, await promisify(gzip)(bytes, { level: 9 }));
  }
}
