import { ResonantError } from "../../../common/errors.ts";
import { openTensorFile } from "../../../weights/open.ts";
import type { TensorFile } from "../../../weights/tensor-file.ts";
import type { ModelFolder } from "../model-folder.ts";
import { ask, bodyOf, lengthOf, Unreachable } from "./ask.ts";
import { sourceOf } from "./blob-bytes.ts";
import { DownloadMeter, type DownloadProgress } from "./download-meter.ts";
import { isSame, KeptFiles, keptSize } from "./kept-files.ts";
import { startThread } from "./threads.ts";
import { fileUrl, folderUrl } from "./urls.ts";

export interface FetchOptions {
  readonly onProgress?: DownloadProgress | undefined;
  /**
   * Whether to keep weights in the browser's Cache API. They are taken from there as long as the server has the same
   * version or cannot be reached. A string is the name of the cache. Default true, if the page is from a secure origin.
   */
  readonly cache?: boolean | string | undefined;
  /** Called with remarks on what is not as it should be but does no harm. */
  readonly onRemark?: ((remark: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Where to get a file of weights. */
interface Plan {
  readonly url: string;
  /** The kept file, if it is still up to date. */
  readonly kept: Response | undefined;
  readonly size: number | undefined;
}

/** Statuses that servers give for files that do not exist; some stores answer 403 for them. */
const ABSENT = new Set([403, 404, 410]);

/** A model's folder on a server. Fetched files are kept. */
export class ServedFolder implements ModelFolder {
  readonly name: string;
  readonly startThread = startThread;
  readonly #folder: URL;
  readonly #options: FetchOptions;
  readonly #kept: KeptFiles | undefined;
  /** Why a file counts as absent. */
  readonly #absent = new Map<string, string>();
  readonly #unkept: (() => Promise<void>)[] = [];
  #offline = false;

  /** @throws ResonantError `invalid_argument` if `from` is not a URL */
  static async open(from: string | URL, options: FetchOptions): Promise<ServedFolder> {
    const folder = folderUrl(from);
    const keeps = /^https?:$/.test(folder.protocol) && (options.cache ?? true);
    return new ServedFolder(folder, options, await KeptFiles.open(keeps));
  }

  private constructor(folder: URL, options: FetchOptions, kept: KeptFiles | undefined) {
    this.name = folder.href;
    this.#folder = folder;
    this.#options = options;
    this.#kept = kept;
  }

  at(file: string): string {
    return fileUrl(this.#folder, file);
  }

  async text(url: string): Promise<string | null> {
    const { signal } = this.#options;
    const kept = await this.#kept?.find(url);
    try {
      const response = await ask(url, { cache: "no-cache", signal: signal ?? null });
      const { status, headers } = response;
      if (!response.ok && !ABSENT.has(status)) throw this.#refused(url, status);
      const body = response.ok ? await bodyOf(response, url, { signal }) : null;
      const text = body && (await body.text());
      const isPage = text !== null && /^\s*<(!doctype|html)\b/i.test(text);
      if (isPage || text === null) {
        this.#absent.set(url, isPage ? "there is a web page instead" : `HTTP ${status}`);
      }
      const file = isPage ? null : body;
      const same =
        kept && (file ? kept.status === 200 && isSame(kept.headers, headers) : kept.status === 404);
      if (!same) this.#unkept.push(() => this.#keep(url, headers, file));
      return isPage ? null : text;
    } catch (error) {
      if (!kept) throw error;
      this.#fallBack(error);
      return kept.status === 200 ? kept.text() : null;
    }
  }

  lacks(url: string): ResonantError {
    const reason = this.#absent.get(url);
    return new ResonantError("invalid_file", `there is no such file${reason ? ` (${reason})` : ""}`, {
      where: url,
      fix: "Give the URL of a folder with config.json and model.safetensors",
    });
  }

  async open(urls: readonly string[]): Promise<TensorFile[]> {
    const plans = await Promise.all(urls.map((url) => this.#plan(url, urls.length > 1)));
    const meter = new DownloadMeter(
      this.#options.onProgress,
      plans.map(({ url, size }) => [url, size]),
    );
    const files: TensorFile[] = [];
    for (const plan of plans) files.push(await this.#openOne(plan, meter));
    return files;
  }

  /** Keeps the remaining files. Call it when the whole model has arrived, so that no two versions are mixed. */
  async keep(): Promise<void> {
    for (const keep of this.#unkept.splice(0)) await keep();
  }

  /** @param several whether to ask for the length, which is needed for the total of several files */
  async #plan(url: string, several: boolean): Promise<Plan> {
    const found = await this.#kept?.find(url);
    const kept = found?.status === 200 ? found : undefined;
    const fetched: Plan = { url, kept: undefined, size: undefined };
    if (!kept && !several) return fetched;
    const good = kept && { url, kept, size: keptSize(kept) };
    try {
      const head = await ask(url, {
        method: "HEAD",
        cache: "no-store",
        signal: this.#options.signal ?? null,
      });
      const unasked = head.status === 405 || head.status >= 500;
      if (good && (unasked || (head.ok && isSame(good.kept.headers, head.headers)))) return good;
      return { ...fetched, size: head.ok ? lengthOf(head) : undefined };
    } catch (error) {
      if (!good) throw error;
      this.#fallBack(error);
      return good;
    }
  }

  async #openOne({ url, kept }: Plan, meter: DownloadMeter): Promise<TensorFile> {
    if (kept) {
      const file = await kept.blob();
      meter.add(url, file.size, "cache");
      meter.complete(url);
      return openTensorFile(await sourceOf(url, file), startThread);
    }
    const { signal } = this.#options;
    // The browser's own cache need not keep these files too, nor give an older version of them.
    const cache = this.#kept ? "no-store" : "default";
    const response = await ask(url, { cache, signal: signal ?? null });
    if (!response.ok) throw this.#refused(url, response.status);
    meter.expect(url, lengthOf(response));
    const onBytes = (bytes: number): void => meter.add(url, bytes, "network");
    const file = await bodyOf(response, url, { signal, onBytes });
    meter.complete(url);
    const tensors = await openTensorFile(await sourceOf(url, file), startThread);
    const keep = (): Promise<void> => this.#keep(url, response.headers, file);
    if (await this.#kept?.find(url)) this.#unkept.push(keep);
    else await keep();
    return tensors;
  }

  async #keep(url: string, headers: Headers, file: Blob | null): Promise<void> {
    try {
      await this.#kept?.keep(url, headers, file);
    } catch (error) {
      this.#options.onRemark?.(`${url}: it could not be kept for the next time (${error})`);
    }
  }

  /** @throws `error`, unless it says that the server cannot be reached */
  #fallBack(error: unknown): void {
    if (!(error instanceof Unreachable)) throw error;
    if (!this.#offline) this.#options.onRemark?.(`${error.message}: what was fetched before is used`);
    this.#offline = true;
  }

  #refused(url: string, status: number): ResonantError {
    if (ABSENT.has(status)) {
      this.#absent.set(url, `HTTP ${status}`);
      return this.lacks(url);
    }
    return new ResonantError("invalid_file", `the server answers with HTTP ${status}`, { where: url });
  }
}
