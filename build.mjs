// Bundles the three entries (command line, Node library, browser library) into dist/, WGSL inlined as text.
import { execFileSync } from "node:child_process";
import { chmodSync, rmSync } from "node:fs";
import { build } from "esbuild";

rmSync("dist", { recursive: true, force: true });
const shared = {
  bundle: true,
  format: "esm",
  target: "es2023",
  packages: "external",
  loader: { ".wgsl": "text" },
  sourcemap: true,
  logLevel: "warning",
};
await build({
  ...shared,
  entryPoints: { cli: "api/cli.ts", node: "engine/platform/node/index.ts" },
  platform: "node",
  splitting: true,
  outdir: "dist",
});
await build({
  ...shared,
  entryPoints: { browser: "engine/platform/browser/index.ts" },
  platform: "browser",
  outdir: "dist",
});
chmodSync("dist/cli.js", 0o755);
if (process.argv.includes("--types")) {
  execFileSync(
    "npx",
    ["tsc", "--noEmit", "false", "--emitDeclarationOnly", "--declaration", "--outDir", "dist/types"],
    {
      stdio: "inherit",
    },
  );
}
