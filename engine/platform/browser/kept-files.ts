import { folderUrl } from "./urls.ts";

/** The cache that models are kept in unless another is named. */
const CACHE = "resonant";

/** Bytes of what is kept, which `Content-Length` is not where a server compresses. */
const BYTES = "Resonant-Bytes";

/** What a server says of a file's version. */
const VERSION = ["ETag", "Last-Modified", "Content-Length"] as const;

/** Files kept by their URLs in the browser's Cache API, as a server gave them; that there was none is kept, too. */
export class KeptFiles {
  readonly #cache: Cache;

  private constructor(cache: Cache) {
    this.#cache = cache;
  }

  /** Undefined where nothing can be kept: the page is not from a secure origin, or may not store anything. */
  static async open(cache: boolean | string = true): Promise<KeptFiles | undefined> {
    const storage = cacheStorage();
    if (cache === false || !storage) return undefined;
    try {
      return new KeptFiles(await storage.open(cache === true ? CACHE : cache));
    } catch {
      return undefined;
    }
  }

  /** A response of status 200, or of 404 for a file that was not there. */
  find(url: string): Promise<Response | undefined> {
    return this.#cache.match(url).catch(() => undefined); // what cannot be read is fetched
  }

  /**
   * Keeps a file in the place of an older version of it; null: that there is none.
   * @throws what the browser does where there is no room; an older version is then gone, too
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
      await put(); // the older version's room may do
    }
  }
}

/** Bytes of a kept file. */
export const keptSize = ({ headers }: Response): number => Number(headers.get(BYTES));

/**
 * Whether a server that says `now` still has what it gave with `before`: equal ETags, or where one is lacking, equal times and
 * lengths. A length alone says nothing, for a model that was trained on has the same.
 */
export function isSame(before: Headers, now: Headers): boolean {
  const compared = (name: (typeof VERSION)[number]): boolean | undefined => {
    const [a, b] = [before.get(name), now.get(name)].map((value) => value?.replace(/^W\//, ""));
    return a === undefined || b === undefined ? undefined : a === b;
  };
  return compared("ETag") ?? (compared("Last-Modified") === true && compared("Content-Length") !== false);
}

/**
 * Forgets what was kept of the model at the URL `from`, as it was given to `loadModel`; without it, of all.
 * @param cache the cache's name, where `loadModel` was told one
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

/** Bytes kept of the model at the URL `from`; without it, of all. @param cache as for {@link forgetModel} */
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
