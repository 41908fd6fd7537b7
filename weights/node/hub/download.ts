import { createHash, type Hash } from "node:crypto";
import type { ResonantError } from "../../../common/errors.ts";
import { invalidFile } from "../../refuse.ts";
import { placeOf, type RemoteFile, refuseStatus, resolveUrl } from "./describe.ts";
import { claimPartial, type Partial } from "./partial.ts";
import { type Answer, ask, type Hub, patiently, stallGuard, Transient } from "./request.ts";

/**
 * Fetches a file's content into `blob`, from where an earlier attempt stopped. The blob appears whole and checked, or not
 * at all; what has arrived stays for the next attempt, unless it is wrong.
 * @param onProgress called with the bytes so far
 * @throws ResonantError `invalid_file` for a body of another length or hash than the hub gave; HubUnreachable
 */
export async function downloadBlob(
  hub: Hub,
  file: RemoteFile,
  blob: string,
  onProgress: (bytes: number) => void,
): Promise<void> {
  for (;;) {
    const partial = await claimPartial(blob, file.size, { signal: hub.signal, onWait: onProgress });
    if (!partial) return onProgress(file.size);
    const filling = new Filling(hub, file, partial, onProgress);
    try {
      await filling.fill();
    } catch (error) {
      await (filling.wrong ? partial.discard() : partial.release());
      throw error;
    }
    if (await partial.finish()) return;
  }
}

class Filling {
  /** Whether the bytes that have arrived are not those of the file. */
  wrong = false;
  /** Bytes of the file that have arrived. */
  #offset = 0;
  #best = 0;
  #hash: Hash;
  readonly #hub: Hub;
  readonly #file: RemoteFile;
  readonly #partial: Partial;
  readonly #onProgress: (bytes: number) => void;
  readonly #where: string;

  constructor(hub: Hub, file: RemoteFile, partial: Partial, onProgress: (bytes: number) => void) {
    this.#hub = hub;
    this.#file = file;
    this.#partial = partial;
    this.#onProgress = onProgress;
    this.#where = placeOf(file.repo, file.commit, file.name);
    this.#hash = startHash(file);
  }

  async fill(): Promise<void> {
    const resumed = await this.#readWhatIsThere();
    await this.#fetchRest();
    if (this.#hash.digest("hex") === this.#file.etag) return;
    if (resumed) {
      // The bytes from an earlier attempt may be wrong.
      await this.#restart();
      await this.#fetchRest();
      if (this.#hash.digest("hex") === this.#file.etag) return;
    }
    throw this.#refuse("the hash of its content is not the one that the hub gave");
  }

  async #readWhatIsThere(): Promise<boolean> {
    const { handle, size } = this.#partial;
    if (size > this.#file.size) await handle.truncate(0);
    else {
      const buffer = Buffer.alloc(Math.min(size, 1 << 20));
      while (this.#offset < size) {
        this.#hub.signal?.throwIfAborted();
        const { bytesRead } = await handle.read(buffer, 0, buffer.length, this.#offset);
        if (bytesRead === 0) break;
        this.#hash.update(buffer.subarray(0, bytesRead));
        this.#offset += bytesRead;
      }
    }
    this.#onProgress(this.#offset);
    return this.#offset > 0;
  }

  async #restart(): Promise<void> {
    await this.#partial.handle.truncate(0);
    this.#offset = 0;
    this.#hash = startHash(this.#file);
    this.#onProgress(0);
  }

  async #fetchRest(): Promise<void> {
    this.#best = this.#offset;
    await patiently(
      this.#hub,
      this.#where,
      async () => {
        if (this.#offset < this.#file.size) await this.#fetchOnce();
      },
      () => this.#best,
    );
  }

  async #fetchOnce(): Promise<void> {
    const { repo, commit, name } = this.#file;
    const guard = stallGuard(this.#hub);
    try {
      const answer = await ask(this.#hub, "GET", resolveUrl(this.#hub, repo, commit, name), {
        where: this.#where,
        signal: guard.signal,
        range: this.#offset > 0 ? `bytes=${this.#offset}-` : undefined,
      });
      try {
        await this.#checkHead(answer);
      } catch (error) {
        await answer.response.body?.cancel();
        throw error;
      }
      for await (const chunk of answer.response.body ?? []) {
        guard.beat();
        await this.#take(chunk);
      }
    } finally {
      guard.end();
    }
    if (this.#offset < this.#file.size)
      throw new Transient(`the body ended at byte ${this.#offset} of ${this.#file.size}`);
  }

  /** Refuses an answer whose status or headers show that it is not the rest of the file, before any of it is used. */
  async #checkHead(answer: Answer): Promise<void> {
    const { status, response } = answer;
    if (status === 416) {
      await this.#restart();
      throw new Transient("the server does not have the missing range");
    }
    refuseStatus(this.#hub, answer, { ...this.#file, revision: this.#file.commit });
    if (status === 404) throw invalidFile(this.#where, "the hub no longer has it");
    if (response.headers.get("Content-Type")?.startsWith("text/html") && !this.#file.name.endsWith(".html"))
      throw this.#refuse("an HTML page came instead of the file");
    if (status === 206) this.#checkRange(response.headers.get("Content-Range") ?? "");
    else {
      // This server ignores ranges.
      if (this.#offset > 0) await this.#restart();
      if (Number(response.headers.get("Content-Length") ?? 0) > this.#file.size) throw this.#tooLong();
    }
  }

  #checkRange(range: string): void {
    const [, start, end, total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(range) ?? [];
    if (total !== undefined && total !== "*" && Number(total) > this.#file.size) throw this.#tooLong();
    if (Number(start) !== this.#offset || Number(end) >= this.#file.size)
      throw new Transient(`the server sent another range than was asked (${range.slice(0, 80)})`);
  }

  async #take(chunk: Uint8Array): Promise<void> {
    if (this.#offset + chunk.length > this.#file.size) throw this.#tooLong();
    for (let done = 0; done < chunk.length; ) {
      const rest = chunk.length - done;
      done += (await this.#partial.handle.write(chunk, done, rest, this.#offset + done)).bytesWritten;
    }
    this.#hash.update(chunk);
    this.#offset += chunk.length;
    this.#best = Math.max(this.#best, this.#offset);
    this.#onProgress(this.#offset);
  }

  #tooLong(): ResonantError {
    return this.#refuse(`the body is longer than the ${this.#file.size} bytes that the hub says`);
  }

  #refuse(what: string): ResonantError {
    this.wrong = true;
    return invalidFile(
      this.#where,
      what,
      "It was discarded. Try again, or check the proxies between this machine and the hub",
    );
  }
}

/** SHA-256 for files in large-file storage; for other files git's name of the blob, a hash that begins with the size. */
function startHash({ etag, size }: RemoteFile): Hash {
  return etag.length === 64 ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`);
}
