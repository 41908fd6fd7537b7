import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { isInstalled } from "./installed.mjs";

/**
 * esbuild. In a checkout without development dependencies npm installs it into a temporary folder, in the version and
 * with the hash that package-lock.json says, so that who installs the package has no bundler among its dependencies.
 */
export async function loadEsbuild() {
  if (isInstalled("esbuild")) return import("esbuild");
  const folder = mkdtempSync(join(tmpdir(), "resonant-esbuild-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
  const ofEsbuild = ([path]) => path === "node_modules/esbuild" || path.startsWith("node_modules/@esbuild/");
  const packages = Object.entries(lock.packages)
    .filter(ofEsbuild)
    .map(([path, { dev, ...entry }]) => [path, entry]);
  const manifest = { dependencies: { esbuild: lock.packages["node_modules/esbuild"].version } };
  const write = (file, value) => writeFileSync(join(folder, file), JSON.stringify(value));
  write("package.json", manifest);
  write("package-lock.json", {
    lockfileVersion: lock.lockfileVersion,
    requires: true,
    packages: Object.fromEntries([["", manifest], ...packages]),
  });
  copyFileSync(".npmrc", join(folder, ".npmrc"));
  execFileSync("npm", ["ci", "--prefix", folder, "--ignore-scripts", "--include=optional", "--silent"], {
    cwd: folder,
    stdio: "inherit",
    shell: process.platform === "win32",
  });
  return import(pathToFileURL(join(folder, "node_modules/esbuild/lib/main.js")).href);
}
