import type { Dtype } from "../weights/dtype.ts";

/** SHA-256 as lower-case hexadecimal. Works in Node and in a page (secure contexts). */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A model's identity: a hash of its configuration and of its source weights, whatever format they run in. */
export class Fingerprint {
  readonly #tensors = new Map<string, string>();

  async add(name: string, dtype: Dtype, shape: readonly number[], bytes: Uint8Array): Promise<void> {
    const digest = await sha256(bytes as Uint8Array<ArrayBuffer>);
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
