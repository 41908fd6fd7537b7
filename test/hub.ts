import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A request to the hub or to the origin of its large files. */
export interface HubRequest {
  readonly at: "hub" | "cdn";
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly authorization: string | undefined;
  readonly range: string | undefined;
}

/** Answers a request instead of the hub if it returns `true`. */
export type Intercept = (request: HubRequest, response: ServerResponse) => boolean | Promise<boolean>;

/** A local Hugging Face hub with the endpoints that downloading a model needs. */
export interface TestHub {
  /** The value for `HF_ENDPOINT`. */
  readonly url: string;
  /** The origin to which requests for large files are redirected. */
  readonly cdn: string;
  /** Every request so far. */
  readonly requests: HubRequest[];
  intercept: Intercept | undefined;
  /** Adds a commit to a repository as the head of a branch; the other origin serves the files in `lfs`. */
  commit(
    repo: string,
    files: Readonly<Record<string, string | Uint8Array>>,
    options?: { readonly branch?: string; readonly lfs?: readonly string[] },
  ): string;
  /** Makes a repository require this token. */
  gate(repo: string, token: string): void;
  /** Returns the requests so far as `METHOD PATH`, and clears them. */
  asked(): string[];
  stop(): Promise<void>;
}

interface Repo {
  readonly branches: Map<string, string>;
  readonly commits: Map<string, Map<string, Stored>>;
  token?: string;
}

interface Stored {
  readonly bytes: Buffer;
  readonly lfs: boolean;
  readonly etag: string;
}

const hex = (algorithm: string, ...parts: readonly (string | Uint8Array)[]): string => {
  const hash = createHash(algorithm);
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
};

/** Sends bytes as a file, or the requested range of them. */
export function sendBytes(
  request: HubRequest,
  response: ServerResponse,
  bytes: Uint8Array,
  headers: Readonly<Record<string, string>> = {},
): unknown {
  const start = Number(/^bytes=(\d+)-$/.exec(request.range ?? "")?.[1] ?? 0);
  if (start > 0 && start >= bytes.length)
    return response.writeHead(416, { "Content-Range": `bytes */${bytes.length}` }).end();
  response.writeHead(start > 0 ? 206 : 200, {
    "Content-Type": "application/octet-stream",
    "Content-Length": bytes.length - start,
    "Accept-Ranges": "bytes",
    ...headers,
    ...(start > 0 ? { "Content-Range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` } : {}),
  });
  return response.end(request.method === "HEAD" ? undefined : bytes.subarray(start));
}

/** Starts a hub and its second origin, on free ports of this machine. */
export async function startHub(): Promise<TestHub> {
  const repos = new Map<string, Repo>();
  const blobs = new Map<string, Buffer>();
  const requests: HubRequest[] = [];
  const hubServer = await listen((request, response) => receive("hub", request, response));
  const cdnServer = await listen((request, response) => receive("cdn", request, response));
  const hub: TestHub = {
    url: addressOf(hubServer),
    cdn: addressOf(cdnServer),
    requests,
    intercept: undefined,
    commit(name, files, { branch = "main", lfs = [] } = {}) {
      const repo = repos.get(name) ?? { branches: new Map(), commits: new Map() };
      repos.set(name, repo);
      const stored = new Map<string, Stored>();
      for (const [path, content] of Object.entries(files)) {
        const bytes = Buffer.from(content);
        const isLfs = lfs.includes(path);
        const etag = isLfs ? hex("sha256", bytes) : hex("sha1", `blob ${bytes.length}\0`, bytes);
        stored.set(path, { bytes, lfs: isLfs, etag });
        if (isLfs) blobs.set(etag, bytes);
      }
      const id = hex("sha1", name, ...[...stored].flatMap(([path, { etag }]) => [path, etag]));
      repo.commits.set(id, stored);
      repo.branches.set(branch, id);
      return id;
    },
    gate(name, token) {
      const repo = repos.get(name);
      if (repo) repo.token = token;
    },
    asked: () => requests.splice(0).map(({ method, url }) => `${method} ${url}`),
    stop: async () => {
      await Promise.all([close(hubServer), close(cdnServer)]);
    },
  };

  async function receive(at: "hub" | "cdn", incoming: IncomingMessage, response: ServerResponse) {
    const request: HubRequest = {
      at,
      method: incoming.method ?? "",
      url: incoming.url ?? "",
      authorization: incoming.headers.authorization,
      range: incoming.headers.range,
    };
    requests.push(request);
    if (await hub.intercept?.(request, response)) return;
    const { pathname } = new URL(request.url, hub.url);
    if (at === "hub") answer(request, response, pathname);
    else {
      const bytes = blobs.get(pathname.slice(1));
      if (bytes) sendBytes(request, response, bytes);
      else response.writeHead(404).end();
    }
  }

  function answer(request: HubRequest, response: ServerResponse, pathname: string): unknown {
    const refuse = (status: number, code: string, more: Record<string, string> = {}): unknown =>
      response.writeHead(status, { "X-Error-Code": code, "X-Error-Message": code, ...more }).end();
    const [, name = "", kind, revision = "", path = ""] =
      /^\/api\/models\/(.+)\/(revision)\/([^/]+)$/.exec(pathname) ??
      /^\/(.+)\/(resolve)\/([^/]+)\/(.+)$/.exec(pathname) ??
      [];
    const repo = repos.get(name);
    if (!repo) return refuse(404, "RepoNotFound");
    if (repo.token && request.authorization !== `Bearer ${repo.token}`)
      return refuse(request.authorization ? 403 : 401, "GatedRepo");
    const wanted = decodeURIComponent(revision);
    const commit = repo.branches.get(wanted) ?? wanted;
    const files = repo.commits.get(commit);
    if (!files) return refuse(404, "RevisionNotFound");
    if (kind === "revision") {
      const siblings = [...files.keys()].map((rfilename) => ({ rfilename }));
      response.writeHead(200, { "Content-Type": "application/json" });
      return response.end(JSON.stringify({ id: name, sha: commit, siblings }));
    }
    const file = files.get(decodeURIComponent(path));
    if (!file) return refuse(404, "EntryNotFound", { "X-Repo-Commit": commit });
    if (!file.lfs)
      return sendBytes(request, response, file.bytes, { ETag: `"${file.etag}"`, "X-Repo-Commit": commit });
    response.writeHead(302, {
      Location: `${hub.cdn}/${file.etag}?signature=1`,
      "X-Repo-Commit": commit,
      "X-Linked-Size": file.bytes.length,
      "X-Linked-Etag": `"${file.etag}"`,
    });
    return response.end();
  }
  return hub;
}

async function listen(
  handle: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
): Promise<Server> {
  const server = createServer((request, response) => void handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

const addressOf = (server: Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}
