import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readdir, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { ResonantError } from "../../../common/errors.ts";
import type { SoftwarePackage } from "./software-package.ts";

/** Called with the bytes received so far and the bytes of all. */
export type OnProgress = (bytes: number, total: number) => void;

/** Returns the address of a package's tarball and, if the registry gives it, the tarball's integrity. */
export type Resolve = (pkg: SoftwarePackage) => Promise<{ tarball: string; integrity: string | undefined }>;

const STALL_MS = 30_000;
const NPM_ERROR = /^npm (error|ERR!)/;
const DISK_ERRORS = new Set(["ENOSPC", "EDQUOT", "EACCES", "EROFS", "EIO", "EMFILE"]);

/** Asks the user's own npm, so that its registry, credentials and proxies are used. */
export const resolveWithNpm: Resolve = async (pkg) => {
  const dist: unknown = JSON.parse(await npm(["view", `${pkg.name}@${pkg.version}`, "dist", "--json"]));
  if (typeof dist !== "object" || dist === null) throw new Error("npm view returned no dist");
  const { tarball, integrity } = dist as { tarball?: unknown; integrity?: unknown };
  if (typeof tarball !== "string") throw new Error("npm view named no tarball");
  return { tarball, integrity: typeof integrity === "string" ? integrity : undefined };
};

/**
 * Downloads a package's tarball into `file`, and succeeds only if it is the pinned one, byte for byte. Tries fetch() first,
 * which can show progress, then `npm pack`, which knows proxies and credentials.
 * @throws ResonantError `invalid_file` for any other tarball, `no_adapter` without network, npm or disk space
 */
export async function downloadTarball(
  pkg: SoftwarePackage,
  file: string,
  options: { onProgress?: OnProgress | undefined; resolve?: Resolve | undefined } = {},
): Promise<void> {
  const where = `${pkg.name}@${pkg.version}`;
  const { onProgress, resolve = resolveWithNpm } = options;
  const fail = (error: unknown, reason: string): never => {
    if (error instanceof ResonantError) throw error;
    if (isDiskError(error)) throw noSpace(error, dirname(file));
    throw new ResonantError("no_adapter", `could not be downloaded (${reason})`, {
      where,
      fix: "Let npm reach its registry, or fill RESONANT_CACHE on a machine where it can",
      cause: error,
    });
  };
  const { tarball, integrity = pkg.integrity } = await resolve(pkg).catch((error) =>
    fail(error, explain(error)),
  );
  if (integrity !== pkg.integrity) throw tampered(where, integrity, pkg.integrity);
  await fetchFile(tarball, file, pkg.size, onProgress).catch(async (fetchError) => {
    if (isDiskError(fetchError) || resolve !== resolveWithNpm) return fail(fetchError, explain(fetchError));
    await packWithNpm(where, file).catch((packError) =>
      fail(packError, `${explain(fetchError)}; ${explain(packError)}`),
    );
  });
  const found = await integrityOf(file);
  if (found !== pkg.integrity) throw tampered(where, found, pkg.integrity);
}

async function fetchFile(url: string, file: string, size: number, onProgress?: OnProgress): Promise<void> {
  const stalled = new AbortController();
  const giveUp = () => stalled.abort(new Error(`no data for ${STALL_MS / 1000} s`));
  let timer = setTimeout(giveUp, STALL_MS);
  try {
    const response = await fetch(url, { signal: stalled.signal });
    const { body } = response;
    if (!response.ok || body === null) throw new Error(`HTTP ${response.status} from ${new URL(url).host}`);
    let received = 0;
    async function* chunks(stream: ReadableStream<Uint8Array>) {
      for await (const chunk of stream) {
        clearTimeout(timer);
        timer = setTimeout(giveUp, STALL_MS);
        received += chunk.length;
        if (received > size) throw new Error(`the download is longer than ${size} bytes`);
        onProgress?.(received, size);
        yield chunk;
      }
    }
    await writeFile(file, chunks(body));
    if (received < size) throw new Error(`the download ended at ${received} of ${size} bytes`);
  } finally {
    clearTimeout(timer);
  }
}

async function packWithNpm(name: string, file: string): Promise<void> {
  const folder = `${file}.pack`;
  await mkdir(folder);
  await npm(["pack", name, "--pack-destination", folder, "--ignore-scripts"]);
  const [packed] = (await readdir(folder)).filter((entry) => entry.endsWith(".tgz"));
  if (packed === undefined) throw new Error("npm pack left no tarball");
  await rename(join(folder, packed), file);
}

async function npm(args: string[]): Promise<string> {
  // Its default waits between retries add up to minutes: too long for a machine that is simply offline.
  const patience = ["--fetch-retries=1", "--fetch-retry-mintimeout=500", "--fetch-retry-maxtimeout=2000"];
  try {
    const { stdout } = await promisify(execFile)("npm", [...args, ...patience], {
      timeout: 300_000,
      maxBuffer: 1 << 24,
    });
    return stdout;
  } catch (error) {
    const { code, stderr } = error as { code?: unknown; stderr?: unknown };
    if (code === "ENOENT") throw new Error("npm was not found on the PATH");
    const lines = (typeof stderr === "string" ? stderr : "")
      .split("\n")
      .filter((line) => NPM_ERROR.test(line));
    const said = lines.map((line) => line.replace(NPM_ERROR, "").trim());
    const summary = said.find((line) => line.includes("reason:")) ?? said.slice(0, 3).join(" ");
    throw new Error(`npm ${args[0]} failed: ${summary.slice(0, 200) || explain(error)}`);
  }
}

async function integrityOf(file: string): Promise<string> {
  const hash = createHash("sha512");
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return `sha512-${hash.digest("base64")}`;
}

/** An error that a second way of downloading cannot solve. */
function isDiskError(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return typeof code === "string" && DISK_ERRORS.has(code);
}

function noSpace(error: unknown, folder: string): ResonantError {
  return new ResonantError("no_adapter", `the software driver could not be stored: ${explain(error)}`, {
    where: folder,
    fix: "Free about 100 MB there, or set RESONANT_CACHE to another folder",
    cause: error,
  });
}

function tampered(where: string, found: string, wanted: string): ResonantError {
  return new ResonantError(
    "invalid_file",
    `the tarball is not the pinned one: found ${found}, wanted ${wanted}`,
    {
      where,
      fix: "It was discarded. Check which registry or proxy npm uses",
    },
  );
}

function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
