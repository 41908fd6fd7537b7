import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const run = promisify(execFile);
const NO_NETWORK = /ENOTCACHED|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH/;

let checkout: string;

beforeAll(async () => {
  checkout = await mkdtemp(join(tmpdir(), "resonant-checkout-"));
});

afterAll(() => rm(checkout, { recursive: true, force: true }));

it("works from a checkout without development dependencies, except pages and declarations", async ({
  skip,
}) => {
  const listed = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  const files = await run("git", listed, { cwd: root, maxBuffer: 1 << 26 }).catch(() => undefined);
  if (!files) return skip("this is no git checkout");
  for (const file of files.stdout.split("\0")) {
    // Git also lists files that were deleted but not committed.
    if (file && existsSync(join(root, file))) await cp(join(root, file), join(checkout, file));
  }

  // Variables of the outer npm that would make the inner npm use this folder.
  const { npm_config_local_prefix: _prefix, INIT_CWD: _cwd, ...env } = process.env;
  const install = await run("npm", ["ci", "--omit=dev", "--prefer-offline"], {
    cwd: checkout,
    env,
    shell: process.platform === "win32",
  }).catch((error: { stdout: string; stderr: string }) => error);
  if (install instanceof Error && !process.env.CI && NO_NETWORK.test(install.stderr)) {
    return skip("npm's cache lacks a dependency, and there is no network");
  }
  expect(install, install.stderr).not.toBeInstanceOf(Error);
  expect(install.stdout).toContain("Built without development dependencies");

  for (const left of ["node_modules/esbuild", "node_modules/vite", "dist/demo", "dist/docs", "dist/types"]) {
    expect(existsSync(join(checkout, left)), left).toBe(false);
  }
  const info = await run(process.execPath, ["dist/cli.js", "info", "--json"], { cwd: checkout, env });
  expect(JSON.parse(info.stdout)).toMatchObject({ model_name: "resonant-shakespeare" });
}, 600_000);
