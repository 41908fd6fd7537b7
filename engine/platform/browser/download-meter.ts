/**
 * Called with the bytes of weights that have arrived, the bytes of all (if the servers give them), and where the last ones
 * came from.
 */
export type DownloadProgress = (bytes: number, total: number | undefined, from: "network" | "cache") => void;

/** Time between two calls. */
const INTERVAL_MS = 100;

/** Counts the bytes of several files, and reports them ten times a second and at the end. */
export class DownloadMeter {
  readonly #onProgress: DownloadProgress | undefined;
  readonly #sizes: Map<string, number | undefined>;
  readonly #bytes = new Map<string, number>();
  readonly #complete = new Set<string>();
  #from: "network" | "cache" = "network";
  #reportedAt = Number.NEGATIVE_INFINITY;

  /** @param sizes each file's length in bytes, where it is known */
  constructor(
    onProgress: DownloadProgress | undefined,
    sizes: Iterable<readonly [file: string, size: number | undefined]>,
  ) {
    this.#onProgress = onProgress;
    this.#sizes = new Map(sizes);
  }

  /** Sets the length that a server gives when a file begins to arrive. */
  expect(file: string, size: number | undefined): void {
    this.#sizes.set(file, size);
  }

  add(file: string, bytes: number, from: "network" | "cache"): void {
    this.#bytes.set(file, (this.#bytes.get(file) ?? 0) + bytes);
    this.#from = from;
    if (performance.now() - this.#reportedAt >= INTERVAL_MS) this.#report();
  }

  /** Says that a whole file has arrived. */
  complete(file: string): void {
    this.#sizes.set(file, this.#bytes.get(file) ?? 0);
    this.#complete.add(file);
    if (this.#complete.size === this.#sizes.size) this.#report();
  }

  #report(): void {
    let [bytes, total]: [number, number | undefined] = [0, 0];
    for (const [file, size] of this.#sizes) {
      const here = this.#bytes.get(file) ?? 0;
      bytes += here;
      // If more bytes arrive than the given length, it was the length of the compressed body.
      total = total === undefined || size === undefined || here > size ? undefined : total + size;
    }
    this.#reportedAt = performance.now();
    this.#onProgress?.(bytes, total, this.#from);
  }
}
