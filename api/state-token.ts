import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { ApiError } from "./errors.ts";

const MAC_BYTES = 32;

/** Exported states: HMAC-SHA-256 and state in base64url, so that only what a server gave out comes back in. */
export class StateTokens {
  readonly #secret: string | Buffer;

  /** @param secret of every server that shares its states; random, for this process alone, if undefined */
  constructor(secret: string | undefined) {
    this.#secret = secret ?? randomBytes(MAC_BYTES);
  }

  sign(state: Uint8Array): string {
    return Buffer.concat([this.#mac(state), state]).toString("base64url");
  }

  /** @throws ApiError `conflict` for what no server with this secret has signed */
  verify(token: string): Uint8Array<ArrayBuffer> {
    const bytes = Buffer.from(token, "base64url");
    const state = bytes.subarray(MAC_BYTES);
    const mac = bytes.subarray(0, MAC_BYTES);
    // Decoding is lenient; only the one spelling that `sign` gives is accepted.
    const genuine = bytes.length > MAC_BYTES && bytes.toString("base64url") === token;
    if (!genuine || !timingSafeEqual(mac, this.#mac(state))) {
      throw new ApiError("conflict", "state was not given out by this server, or is damaged", {
        details: { field: "state" },
      });
    }
    return Uint8Array.from(state);
  }

  #mac(state: Uint8Array): Buffer {
    return createHmac("sha256", this.#secret).update(state).digest();
  }
}
