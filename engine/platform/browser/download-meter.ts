/** Told of bytes of weights that are there, of all that are needed (where servers tell), and whence the last came. */
export type DownloadProgress = (bytes: number, total: number | undefined, from: "network" | "cache") => void;

/** Between two tellings. */
const INTERVAL_MS = 100;

/** Counts the bytes of several files, and tells of them ten times a second, and at the end. */
export class DownloadMeter {
  readonly #onProgress: DownloadProgress | undefined;
  readonly #sizes: Map<string, number | undefined>;
  readonly #bytes = new Map<string, number>();
  readonly #complete = new Set<string>();
  #from: "network" | "cache" = "network";
  #told = Number.NEGATIVE_INFINITY;

  /** @param sizes each file's length in bytes, where it is known */
  constructor(
    onProgress: DownloadProgress | undefined,
    sizes: Iterable<readonly [file: string, size: number | undefined]>,
  ) {
    this.#onProgress = onProgress;
    this.#sizes = new Map(sizes);
  }

  /** What a server says of a file when it begins to come. */
  expect(file: string, size: number | undefined): void {
    this.#sizes.set(file, size);
  }

  add(file: string, bytes: number, from: "network" | "cache"): void {
    this.#bytes.set(file, (this.#bytes.get(file) ?? 0) + bytes);
    this.#from = from;
    if (performance.now() - this.#told >= INTERVAL_MS) this.#tell();
  }

  /** All of a file is there. */
  complete(file: string): void {
    this.#sizes.set(file, this.#bytes.get(file) ?? 0);
    this.#complete.add(file);
    if (this.#complete.size === this.#sizes.size) this.#tell();
  }

  #tell(): void {
    let [bytes, total]: [number, number | undefined] = [0, 0];
    for (const [file, size] of this.#sizes) {
      const here = this.#bytes.get(file) ?? 0;
      bytes += here;
      // A length that is exceeded was of compressed bytes.
      total = total === undefined || size === undefined || here > size ? undefined : total + size;
    }
    this.#told = performance.now();
    this.#onProgress?.(bytes, total, this.#from);
  }
}
