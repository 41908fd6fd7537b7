import { folderUrl } from "./urls.ts";

/** The cache for models if no other is named. */
const CACHE = "resonant";

/** Header with the bytes of a kept file; `Content-Length` is another number if the server compresses. */
const BYTES = "Resonant-Bytes";

/** The headers that tell a file's version. */
const VERSION = ["ETag", "Last-Modified", "Content-Length"] as const;

/** Files kept by their URLs in the browser's Cache API, as a server gave them. It also keeps that a file does not exist. */
export class KeptFiles {
  readonly #cache: Cache;

  private constructor(cache: Cache) {
    this.#cache = cache;
  }

  /** Undefined if nothing can be kept: the page is not from a secure origin, or may not store anything. */
  static async open(cache: boolean | string = true): Promise<KeptFiles | undefined> {
    const storage = cacheStorage();
    if (cache === false || !storage) return undefined;
    try {
      return new KeptFiles(await storage.open(cache === true ? CACHE : cache));
    } catch {
      return undefined;
    }
  }

  /** A response of status 200, or of 404 for a file that does not exist. */
  find(url: string): Promise<Response | undefined> {
    return this.#cache.match(url).catch(() => undefined); // a file that cannot be read is fetched again
  }

  /**
   * Keeps a file in place of an older version of it; null: the file does not exist.
   * @throws the browser's error if there is no space; then the older version is gone too
   */
  async keep(url: string, headers: Headers, file: Blob | null): Promise<void> {
    const kept = new Headers({ [BYTES]: String(file?.size ?? 0) });
    for (const name of VERSION) {
      const value = headers.get(name);
      if (value !== null) kept.set(name, value);
    }
    const put = () => this.#cache.put(url, new Response(file, { status: file ? 200 : 404, headers: kept }));
    try {
      await put();
    } catch (error) {
      if (!(await this.#cache.delete(url))) throw error;
      await put(); // the space of the older version may be enough
    }
  }
}

/** Bytes of a kept file. */
export const keptSize = ({ headers }: Response): number => Number(headers.get(BYTES));

/**
 * Whether a server that answers with the headers `now` still has the file that it gave with `before`: equal ETags, or, if
 * one is missing, equal times and lengths. The length alone is not enough: a model that was trained further has the same
 * one.
 */
export function isSame(before: Headers, now: Headers): boolean {
  const compared = (name: (typeof VERSION)[number]): boolean | undefined => {
    const [a, b] = [before.get(name), now.get(name)].map((value) => value?.replace(/^W\//, ""));
    return a === undefined || b === undefined ? undefined : a === b;
  };
  return compared("ETag") ?? (compared("Last-Modified") === true && compared("Content-Length") !== false);
}

/**
 * Forgets what was kept of the model at the URL `from`, as it was given to `loadModel`; without `from`, of all models.
 * @param cache the name of the cache, if `loadModel` was given one
 */
export async function forgetModel(from?: string | URL, cache: string = CACHE): Promise<void> {
  const storage = cacheStorage();
  if (!storage) return;
  if (from === undefined) {
    await storage.delete(cache);
    return;
  }
  const kept = await storage.open(cache);
  for (const request of await requestsUnder(kept, from)) await kept.delete(request);
}

/** Bytes kept of the model at the URL `from`; without `from`, of all models. @param cache as for {@link forgetModel} */
export async function keptBytes(from?: string | URL, cache: string = CACHE): Promise<number> {
  const storage = cacheStorage();
  if (!(await storage?.has(cache))) return 0;
  const kept = await storage!.open(cache);
  const files = await Promise.all((await requestsUnder(kept, from)).map((request) => kept.match(request)));
  return files.reduce((bytes, file) => bytes + (file ? keptSize(file) : 0), 0);
}

async function requestsUnder(cache: Cache, from: string | URL | undefined): Promise<readonly Request[]> {
  const requests = await cache.keys();
  if (from === undefined) return requests;
  const folder = folderUrl(from);
  const under = `${folder.origin}${folder.pathname}`;
  return requests.filter(({ url }) => url.startsWith(under));
}

const cacheStorage = (): CacheStorage | undefined => (globalThis as { caches?: CacheStorage }).caches;
