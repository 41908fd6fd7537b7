import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { ApiError } from "./errors.ts";

const MAC_BYTES = 32;

/** Signs exported states, as base64url of HMAC-SHA-256 and state, so that a server accepts only states that it signed. */
export class StateTokens {
  readonly #secret: string | Buffer;

  /** @param secret shared by all servers that exchange states; undefined: a random one, valid for this process only */
  constructor(secret: string | undefined) {
    this.#secret = secret ?? randomBytes(MAC_BYTES);
  }

  sign(state: Uint8Array): string {
    return Buffer.concat([this.#mac(state), state]).toString("base64url");
  }

  /** Returns the state of a token. @throws ApiError `conflict` if no server with this secret signed it */
  verify(token: string): Uint8Array<ArrayBuffer> {
    const bytes = Buffer.from(token, "base64url");
    const state = bytes.subarray(MAC_BYTES);
    const mac = bytes.subarray(0, MAC_BYTES);
    // Decoding is lenient, so accept only the exact text that `sign` produces.
    const genuine = bytes.length > MAC_BYTES && bytes.toString("base64url") === token;
    if (!genuine || !timingSafeEqual(mac, this.#mac(state))) {
      throw new ApiError("conflict", "state was not created by this server, or is damaged", {
        details: { field: "state" },
      });
    }
    return Uint8Array.from(state);
  }

  #mac(state: Uint8Array): Buffer {
    return createHmac("sha256", this.#secret).update(state).digest();
  }
}
