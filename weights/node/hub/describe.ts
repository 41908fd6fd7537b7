import { ResonantError } from "../../../common/errors.ts";
import { invalidFile, printable } from "../../refuse.ts";
import { COMMIT } from "./names.ts";
import { type Answer, ask, type Hub, patiently, retryAfter, stallGuard, Transient } from "./request.ts";

/** What a hub knows about a file. */
export interface RemoteFile {
  readonly repo: string;
  readonly name: string;
  readonly commit: string;
  /** SHA-256 of the content, or git's SHA-1 of it as a blob, in hexadecimal. It is the file's name in `blobs/`. */
  readonly etag: string;
  /** In bytes. */
  readonly size: number;
}

/** A file that the repository does not have; the commit is known if the hub gives it. */
export interface NoFile {
  readonly missing: true;
  readonly commit: string | undefined;
}

const HASH = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;

/** The address to fetch a file from. */
export function resolveUrl(hub: Hub, repo: string, revision: string, name: string): string {
  const path = name.split("/").map(encodeURIComponent).join("/");
  return `${hub.endpoint}/${repo}/resolve/${encodeURIComponent(revision)}/${path}`;
}

/** The name of a repository's file in errors. */
export const placeOf = (repo: string, revision: string, name: string): string =>
  `${repo}@${COMMIT.test(revision) ? revision.slice(0, 12) : revision}/${name}`;

/**
 * Asks a hub for the commit, hash and size of a file, without fetching it.
 * @throws ResonantError `invalid_argument` for a repository or a revision that does not exist or may not be read,
 * `invalid_file` for an answer that no hub gives; HubUnreachable
 */
export async function describe(
  hub: Hub,
  repo: string,
  revision: string,
  name: string,
): Promise<RemoteFile | NoFile> {
  const where = placeOf(repo, revision, name);
  const answer = await patiently(hub, where, async () => {
    const guard = stallGuard(hub);
    try {
      const got = await ask(hub, "HEAD", resolveUrl(hub, repo, revision, name), {
        where,
        signal: guard.signal,
      });
      refuseStatus(hub, got, { repo, revision, name });
      return got;
    } finally {
      guard.end();
    }
  });
  const { headers, status } = answer;
  const commit = headers.get("X-Repo-Commit") ?? "";
  if (commit !== "" && !COMMIT.test(commit)) throw noHub(where, "its commit is no commit", headers);
  if (COMMIT.test(revision) && commit !== "" && commit !== revision)
    throw noHub(where, "it answers for another commit than was asked", headers);
  const known = commit || (COMMIT.test(revision) ? revision : undefined);
  if (status === 404) return { missing: true, commit: known };
  if (known === undefined) throw noHub(where, "it names no commit", headers);
  const etag = (headers.get("X-Linked-Etag") ?? headers.get("ETag") ?? "")
    .replace(/^W\//, "")
    .replace(/"/g, "");
  if (!HASH.test(etag)) throw noHub(where, "it names no hash to check the file by", headers);
  const size = headers.get("X-Linked-Size") ?? headers.get("Content-Length") ?? "";
  if (!/^\d{1,15}$/.test(size)) throw noHub(where, "it does not say how long the file is", headers);
  return { repo, name, commit: known, etag, size: Number(size) };
}

/**
 * Accepts an answer with the file, and a 404 that says that only the file is missing.
 * @throws Transient for a failure that may pass; ResonantError `invalid_argument` if the repository or the revision cannot
 * be had, `invalid_file` for a status that no hub gives
 */
export function refuseStatus(
  hub: Hub,
  { status, headers, response, fromHub }: Answer,
  asked: { readonly repo: string; readonly revision: string; readonly name: string },
): void {
  if (status === 200 || status === 206) return;
  const code = headers.get("X-Error-Code");
  const { repo, revision } = asked;
  if (status >= 500 || status === 408 || status === 429 || !fromHub) {
    // The addresses where files lie are signed and expire; asked again, the hub gives a new one.
    const who = fromHub ? "the hub" : new URL(response.url).host;
    throw new Transient(`${who} answered ${status}`, retryAfter(response.headers));
  }
  const page = `${hub.endpoint}/${repo}`;
  if (code === "EntryNotFound" || (status === 404 && code === null && headers.has("X-Repo-Commit"))) return;
  if (code === "RevisionNotFound") {
    throw new ResonantError("invalid_argument", `there is no branch, tag or commit ${revision}`, {
      where: repo,
      fix: `See ${page} for those that exist`,
    });
  }
  if (status === 404 || code === "RepoNotFound") {
    throw new ResonantError("invalid_argument", `there is no such repository on ${hub.endpoint}`, {
      where: repo,
      fix: "Check its name; if it is private, set HF_TOKEN to a token that may read it",
    });
  }
  if (status === 401 || status === 403) {
    const said = headers.get("X-Error-Message");
    throw new ResonantError(
      "invalid_argument",
      `the hub gives no access (${status}${said ? `: ${printable(said)}` : ""})`,
      {
        where: repo,
        fix: `Check its name; if it is gated, accept the licence at ${page}; set HF_TOKEN to a token that may read it`,
      },
    );
  }
  throw invalidFile(placeOf(repo, revision, asked.name), `the hub answered ${status}`);
}

function noHub(where: string, what: string, headers: Headers): ResonantError {
  const html = headers.get("Content-Type")?.startsWith("text/html");
  return invalidFile(
    where,
    html ? "an HTML page came instead of the file" : `the answer is not a hub's: ${what}`,
    "Is HF_ENDPOINT the address of a hub, and does this network let it through?",
  );
}
