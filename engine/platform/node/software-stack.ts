import { createHash, randomUUID } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createBrotliDecompress } from "node:zlib";
import { extract } from "tar";
import { ResonantError } from "../../../common/errors.ts";
import { cacheFolders, isTrustedFolder, writableCacheFolder } from "./cache-folder.ts";
import { downloadTarball, type OnProgress, type Resolve } from "./npm-tarball.ts";
import { type SoftwareMember, type SoftwarePackage, softwarePackage } from "./software-package.ts";

/** Which members to fetch, and how. */
export interface FetchOptions<Member extends string = SoftwareMember> {
  members: readonly Member[];
  /** Called during the download with the bytes received and the bytes of all; not called if everything is in the cache. */
  onProgress?: OnProgress | undefined;
  /** The environment that names the cache folder; by default the process's. */
  env?: NodeJS.ProcessEnv | undefined;
  /** For tests: another package than the pinned one, or another way to find its tarball. */
  pkg?: SoftwarePackage | undefined;
  resolve?: Resolve | undefined;
}

/**
 * Unpacks the named members of the pinned package in the cache, downloading it (70 MB) only if one is missing, and returns
 * the absolute folder of each. Every file is checked against its pinned SHA-256 each time; a damaged copy is fetched again.
 * Two processes may do this at once: a folder appears whole or not at all.
 * @throws ResonantError `no_adapter` (offline, no npm, no disk space) or `invalid_file` (not the pinned bytes)
 */
export async function fetchSoftwareStack<Member extends string = SoftwareMember>(
  options: FetchOptions<Member>,
): Promise<Record<Member, string>> {
  const pkg = options.pkg ?? softwarePackage;
  const env = options.env ?? process.env;
  const folders: Partial<Record<Member, string>> = {};
  const missing: Member[] = [];
  for (const member of options.members) {
    const cached = await findCached(pkg, member, env);
    if (cached === undefined) missing.push(member);
    else folders[member] = cached;
  }
  if (missing.length > 0) {
    const cache = await writableCacheFolder(env);
    await removeAbandoned(cache);
    const work = join(cache, `${WORK_PREFIX}${randomUUID()}`);
    await mkdir(work);
    try {
      await storing(cache, async () => {
        const tarball = join(work, "package.tgz");
        await downloadTarball(pkg, tarball, options);
        const wanted = new Set(missing.map((member) => `package/bin/${member}`));
        await extract({
          file: tarball,
          cwd: work,
          strip: 2,
          preserveOwner: false,
          filter: (path) => wanted.has(path),
        });
        for (const member of missing) {
          const fresh = join(work, stem(member));
          await unpack(join(work, member), member, fresh);
          const wrong = await firstWrongFile(fresh, filesOf(pkg, member));
          if (wrong !== undefined) throw wrongFile(pkg, member, wrong);
          folders[member] = await publish(fresh, folderOf(cache, pkg, member), filesOf(pkg, member));
        }
      });
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  }
  return folders as Record<Member, string>;
}

const WORK_PREFIX = ".unpacking-";
const ABANDONED_MS = 24 * 3600 * 1000;

async function findCached(
  pkg: SoftwarePackage,
  member: string,
  env: NodeJS.ProcessEnv,
): Promise<string | undefined> {
  for (const cache of cacheFolders(env)) {
    const folder = folderOf(cache, pkg, member);
    if ((await firstWrongFile(folder, filesOf(pkg, member))) !== undefined) continue;
    if (await isTrustedFolder(cache)) return folder;
  }
  return undefined;
}

async function unpack(packed: string, member: string, folder: string): Promise<void> {
  await mkdir(folder);
  const target = member.endsWith(".tar.br")
    ? extract({ cwd: folder, preserveOwner: false, strict: true })
    : createWriteStream(join(folder, stem(member)), { mode: 0o755 });
  await pipeline(createReadStream(packed), createBrotliDecompress(), target);
  await rm(packed);
}

/** Moves a whole, checked folder to its place, unless another process has put a good one there in the meantime. */
async function publish(fresh: string, place: string, files: Record<string, string>): Promise<string> {
  await mkdir(join(place, ".."), { recursive: true });
  for (let attempt = 0; ; attempt++) {
    try {
      await rename(fresh, place);
      return place;
    } catch (error) {
      const { code } = error as { code?: unknown };
      if (attempt > 3 || (code !== "ENOTEMPTY" && code !== "EEXIST" && code !== "ENOTDIR")) throw error;
      if ((await firstWrongFile(place, files)) === undefined) return place;
      // There is a damaged copy: move it in one step into the work folder, which is removed at the end.
      await rename(place, `${fresh}-damaged-${attempt}`).catch(() => undefined);
    }
  }
}

/** The first file that is missing or differs from the pinned one. */
async function firstWrongFile(folder: string, files: Record<string, string>): Promise<string | undefined> {
  for (const [name, sha256] of Object.entries(files)) {
    const hash = createHash("sha256");
    try {
      await pipeline(createReadStream(join(folder, name)), hash);
    } catch {
      return name;
    }
    if (hash.digest("hex") !== sha256) return name;
  }
  return undefined;
}

/** Removes what a killed process left behind, once no living process can still be using it. */
async function removeAbandoned(cache: string): Promise<void> {
  for (const name of await readdir(cache)) {
    if (!name.startsWith(WORK_PREFIX)) continue;
    const folder = join(cache, name);
    const age = Date.now() - ((await stat(folder).catch(() => undefined))?.mtimeMs ?? Date.now());
    if (age > ABANDONED_MS) await rm(folder, { recursive: true, force: true });
  }
}

async function storing(cache: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (error instanceof ResonantError) throw error;
    const message = error instanceof Error ? error.message : String(error);
    throw new ResonantError("no_adapter", `the software driver could not be unpacked: ${message}`, {
      where: cache,
      fix: "Check the free space and the permissions there, or set RESONANT_CACHE to another folder",
      cause: error,
    });
  }
}

function wrongFile(pkg: SoftwarePackage, member: string, file: string): ResonantError {
  return new ResonantError("invalid_file", `${member} does not unpack to the pinned ${file}`, {
    where: `${pkg.name}@${pkg.version}`,
    fix: "It was discarded",
  });
}

function filesOf(pkg: SoftwarePackage, member: string): Record<string, string> {
  const files = pkg.members[member];
  if (files !== undefined) return files;
  throw new ResonantError("invalid_argument", `has no member ${member}`, {
    where: `${pkg.name}@${pkg.version}`,
  });
}

function folderOf(cache: string, pkg: SoftwarePackage, member: string): string {
  return join(cache, `${pkg.name.replace(/.*\//, "")}-${pkg.version}`, stem(member));
}

function stem(member: string): string {
  return member.replace(/(\.tar)?\.br$/, "");
}
