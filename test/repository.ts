import { readdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository's root folder. */
export const root = fileURLToPath(new URL("..", import.meta.url));

/** Folders of build output, dependencies and tools. */
const isIgnored = (name: string): boolean =>
  name === "node_modules" || name === "dist" || name.startsWith(".");

/** Returns the paths, from the root and with slashes, of all files whose names end in one of `endings`. */
export async function repositoryFiles(endings: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  const walk = async (folder: string): Promise<void> => {
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      if (isIgnored(entry.name)) continue;
      const path = join(folder, entry.name);
      if (entry.isDirectory()) await walk(path);
      else if (entry.isFile() && endings.some((ending) => entry.name.endsWith(ending))) {
        found.push(relative(root, path).replaceAll("\\", "/"));
      }
    }
  };
  await walk(root);
  return found.sort();
}
