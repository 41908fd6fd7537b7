import { concatBytes } from "../weights/concat-bytes.ts";
import type { Dtype } from "../weights/dtype.ts";

/** SHA-256 as lower-case hexadecimal. Works in Node and in a page (secure contexts). */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What {@link PieceHash} hashes at once. */
export const PIECE_BYTES = 8 * 2 ** 20;

/**
 * A hash of bytes that come little by little, which the platform's SHA-256 does not take: of up to {@link PIECE_BYTES}
 * their SHA-256, of more the SHA-256 of their pieces' SHA-256s, as lines. How they come makes no difference.
 */
export class PieceHash {
  readonly #digests: string[] = [];
  #pending: Uint8Array[] = [];
  #size = 0;

  /** The bytes are kept, not copied, until they make a piece. */
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

  /** Of all bytes; nothing can be added after. */
  async digest(): Promise<string> {
    await this.#endPiece(new Uint8Array());
    const [first = "", ...more] = this.#digests;
    return more.length === 0 ? first : sha256(new TextEncoder().encode(this.#digests.join("\n")));
  }
}

/** A model's identity: a hash of its configuration and of its source weights, whatever format they run in. */
export class Fingerprint {
  readonly #tensors = new Map<string, string>();

  /** Takes in a tensor, its bytes as {@link PieceHash} hashes them. */
  add(name: string, dtype: Dtype, shape: readonly number[], digest: string): void {
    this.#tensors.set(name, `${name} ${dtype} [${shape.join(",")}] ${digest}`);
  }

  /** Of every tensor added so far, in the order of their names, and `config`. */
  digest(config: unknown): Promise<string> {
    const lines = [
      JSON.stringify(config),
      ...[...this.#tensors.keys()].sort().map((name) => this.#tensors.get(name)),
    ];
    return sha256(new TextEncoder().encode(lines.join("\n")));
  }
}
