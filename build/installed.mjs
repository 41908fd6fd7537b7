import { existsSync } from "node:fs";
import { join } from "node:path";

/** Whether a package is in this checkout: with `npm ci --omit=dev` those that only the build needs are not. */
export const isInstalled = (name) => existsSync(join("node_modules", name, "package.json"));
