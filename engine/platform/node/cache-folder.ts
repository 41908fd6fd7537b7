import { randomUUID } from "node:crypto";
import { lstat, mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { isAbsolute, join } from "node:path";
import { ResonantError } from "../../../common/errors.ts";

/**
 * The folders that may hold downloads, best first: only `$RESONANT_CACHE` if it is set; else `$XDG_CACHE_HOME/resonant` or
 * `~/.cache/resonant`, then a folder of this user in the temp folder.
 */
export function cacheFolders(env: NodeJS.ProcessEnv = process.env): string[] {
  if (env.RESONANT_CACHE) return [env.RESONANT_CACHE];
  const folders = [sharedTempFolder()];
  const home = env.HOME ?? env.USERPROFILE;
  if (env.XDG_CACHE_HOME && isAbsolute(env.XDG_CACHE_HOME))
    folders.unshift(join(env.XDG_CACHE_HOME, "resonant"));
  else if (home && isAbsolute(home)) folders.unshift(join(home, ".cache", "resonant"));
  return folders;
}

/**
 * The first of {@link cacheFolders} that can be written; it is created if needed.
 * @throws ResonantError `no_adapter` naming each folder and why it cannot be used
 */
export async function writableCacheFolder(env: NodeJS.ProcessEnv = process.env): Promise<string> {
  const reasons: string[] = [];
  for (const folder of cacheFolders(env)) {
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      if (!(await isTrustedFolder(folder))) throw new Error("it belongs to another user");
      const probe = join(folder, `.write-${randomUUID()}`);
      await writeFile(probe, "");
      await rm(probe);
      return folder;
    } catch (error) {
      reasons.push(`${folder}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new ResonantError("no_adapter", `no cache folder can be written (${reasons.join("; ")})`, {
    where: "cache",
    fix: "Set RESONANT_CACHE to a folder this user can write",
  });
}

/**
 * Whether libraries may be loaded from the folder. Anyone can guess the name of the one in the shared temp folder, so it
 * must belong to this user; the user chose the others.
 */
export async function isTrustedFolder(folder: string): Promise<boolean> {
  if (folder !== sharedTempFolder()) return true;
  const stat = await lstat(folder);
  return stat.isDirectory() && stat.uid === (process.getuid?.() ?? stat.uid);
}

function sharedTempFolder(): string {
  return join(tmpdir(), `resonant-${process.getuid?.() ?? "user"}`);
}
