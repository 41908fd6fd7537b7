import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { ApiError } from "./errors.ts";

const MAC_BYTES = 32;
const ID_BYTES = 16;
const VERSION = 1;
/** Version, key id, owner, and the time of its end in milliseconds; 0: none. */
const CLAIMS_BYTES = 1 + 2 * ID_BYTES + 8;
/** Bytes of a token before its state. */
export const SIGNATURE_BYTES = MAC_BYTES + CLAIMS_BYTES;

const DAMAGED = "was not created by this server, or is damaged";

/** The first bytes of a hash: enough to tell one from another, and nothing of what it was made of. */
const idOf = (text: string | Buffer): Buffer =>
  createHash("sha256").update(text).digest().subarray(0, ID_BYTES);

export interface StateTokenOptions {
  /** Shared by all servers that exchange states; undefined: a random one, valid for this process only. */
  readonly secret: string | undefined;
  /** Seconds for which a state can be continued; 0: for ever. */
  readonly ttl: number;
}

/**
 * Signs states for one owner, so that a server accepts only what it, or another one with its secret, has given to that owner.
 * A signature is a MAC (HMAC-SHA-256 of all that follows, with the state) and the claims: which secret signed it (`kid`),
 * whose it is, and when it ends. A token is signature and state together. Both are written in base64url.
 */
export class StateTokens {
  readonly #secret: string | Buffer;
  readonly #kid: Buffer;
  readonly #ttl: number;

  constructor({ secret, ttl }: StateTokenOptions) {
    this.#secret = secret ?? randomBytes(MAC_BYTES);
    this.#kid = idOf(this.#mac(Buffer.from("kid"), new Uint8Array()));
    this.#ttl = ttl;
  }

  /** Returns the token of a state. */
  sign(state: Uint8Array, owner: string): string {
    return Buffer.concat([this.#sign(state, owner), state]).toString("base64url");
  }

  /** Returns the signature alone, for a state that is sent as a file. */
  signatureOf(state: Uint8Array, owner: string): string {
    return this.#sign(state, owner).toString("base64url");
  }

  /**
   * Returns the state of a token.
   * @throws ApiError `conflict` naming `state` if no server with this secret signed it, it is another owner's, or has ended
   */
  verify(token: string, owner: string): Uint8Array<ArrayBuffer> {
    const bytes = decoded(token, "state");
    const state = bytes.subarray(SIGNATURE_BYTES);
    this.#check(bytes.subarray(0, SIGNATURE_BYTES), state, owner, "state");
    return Uint8Array.from(state);
  }

  /** Checks the signature of a state that came as a file. @throws ApiError `conflict` naming `field`, as {@link verify} */
  verifyFile(signature: string, state: Uint8Array, owner: string, field: string): void {
    this.#check(decoded(signature, field), state, owner, field);
  }

  #sign(state: Uint8Array, owner: string): Buffer {
    const end = Buffer.alloc(8);
    end.writeBigUInt64BE(this.#ttl === 0 ? 0n : BigInt(Math.ceil(Date.now() + this.#ttl * 1000)));
    const claims = Buffer.concat([Buffer.of(VERSION), this.#kid, idOf(owner), end]);
    return Buffer.concat([this.#mac(claims, state), claims]);
  }

  #check(signature: Uint8Array, state: Uint8Array, owner: string, field: string): void {
    const fault = this.#fault(signature, state, owner);
    if (fault !== undefined) throw new ApiError("conflict", `${field} ${fault}`, { details: { field } });
  }

  /** Returns what is wrong with a signature, to follow the state's name; undefined if nothing is. */
  #fault(signature: Uint8Array, state: Uint8Array, owner: string): string | undefined {
    if (signature.length !== SIGNATURE_BYTES) return DAMAGED;
    const mac = signature.subarray(0, MAC_BYTES);
    const claims = Buffer.from(signature.subarray(MAC_BYTES));
    const [kid, whose] = [1, 1 + ID_BYTES].map((at) => claims.subarray(at, at + ID_BYTES)) as [
      Buffer,
      Buffer,
    ];
    if (claims[0] !== VERSION) return DAMAGED;
    if (!kid.equals(this.#kid)) {
      return `was signed with another secret (kid ${kid.toString("hex")}, here ${this.#kid.toString("hex")})`;
    }
    if (!timingSafeEqual(mac, this.#mac(claims, state))) return DAMAGED;
    if (!whose.equals(idOf(owner))) return "was given to another API key";
    const end = Number(claims.readBigUInt64BE(1 + 2 * ID_BYTES));
    return end !== 0 && Date.now() > end ? `ended at ${new Date(end).toISOString()}` : undefined;
  }

  #mac(claims: Uint8Array, state: Uint8Array): Buffer {
    return createHmac("sha256", this.#secret).update(claims).update(state).digest();
  }
}

/** Decoding is lenient: only the exact text that signing produces is accepted. */
function decoded(text: string, field: string): Buffer {
  const bytes = Buffer.from(text, "base64url");
  if (bytes.toString("base64url") === text) return bytes;
  throw new ApiError("conflict", `${field} ${DAMAGED}`, { details: { field } });
}
