import { concatBytes } from "../weights/concat-bytes.ts";
import type { Dtype } from "../weights/dtype.ts";

/** SHA-256 as lower-case hexadecimal. Works in Node and in a page (secure contexts). */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The piece size of {@link PieceHash}. */
export const PIECE_BYTES = 8 * 2 ** 20;

/**
 * Hashes bytes that arrive in parts, since the SHA-256 of the platform takes only whole arrays. The hash of up to
 * {@link PIECE_BYTES} bytes is their SHA-256. Otherwise it is the SHA-256 of the lines with the SHA-256 of each piece. It
 * does not depend on how the bytes are divided into calls.
 */
export class PieceHash {
  readonly #digests: string[] = [];
  #pending: Uint8Array[] = [];
  #size = 0;

  /** Adds bytes. They are referenced, not copied, until they complete a piece. */
  async add(bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    while (this.#size + rest.length > PIECE_BYTES) {
      const part = rest.subarray(0, PIECE_BYTES - this.#size);
      rest = rest.subarray(part.length);
      await this.#endPiece(part);
    }
    this.#pending.push(rest);
    this.#size += rest.length;
  }

  async #endPiece(last: Uint8Array): Promise<void> {
    const pieces = [...this.#pending, last].filter(({ length }) => length > 0);
    this.#pending = [];
    this.#size = 0;
    this.#digests.push(await sha256(concatBytes(pieces)));
  }

  /** Returns the hash of all bytes. No bytes can be added afterwards. */
  async digest(): Promise<string> {
    await this.#endPiece(new Uint8Array());
    const [first = "", ...more] = this.#digests;
    return more.length === 0 ? first : sha256(new TextEncoder().encode(this.#digests.join("\n")));
  }
}

/** Computes the identity of a model: a hash of its configuration and source weights, independent of the weight format. */
export class Fingerprint {
  readonly #tensors = new Map<string, string>();

  /** Adds a tensor. @param digest the {@link PieceHash} of its bytes */
  add(name: string, dtype: Dtype, shape: readonly number[], digest: string): void {
    this.#tensors.set(name, `${name} ${dtype} [${shape.join(",")}] ${digest}`);
  }

  /** Returns the hash of `config` and all tensors added so far, sorted by name. */
  digest(config: unknown): Promise<string> {
    const lines = [
      JSON.stringify(config),
      ...[...this.#tensors.keys()].sort().map((name) => this.#tensors.get(name)),
    ];
    return sha256(new TextEncoder().encode(lines.join("\n")));
  }
}
