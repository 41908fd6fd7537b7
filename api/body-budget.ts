import type { ServerResponse } from "node:http";
import { ApiError } from "./errors.ts";
import { Shares } from "./shares.ts";

/** Bodies up to this size are not counted: headers may take more. */
const SMALL = 4096;

/**
 * Memory for the bodies of all requests, from their first byte until they are answered, since what was read from a body
 * lives as long. A client may hold at most eight times what it leaves free.
 */
export class BodyBudget {
  readonly #shares: Shares;

  /** @param most bytes of all bodies together */
  constructor(most: number) {
    this.#shares = new Shares(most);
  }

  /** Bytes that are taken. */
  get taken(): number {
    return this.#shares.total;
  }

  /** Opens the account of a request, which is closed with its answer. */
  account(client: string, outgoing: ServerResponse): BodyAccount {
    const account = new BodyAccount(this.#shares, client);
    outgoing.once("close", () => account.close());
    return account;
  }
}

/** What one body takes. */
export class BodyAccount {
  readonly #shares: Shares;
  readonly #client: string;
  #taken = 0;
  #closed = false;

  constructor(shares: Shares, client: string) {
    this.#shares = shares;
    this.#client = client;
  }

  /** Takes as much as a body of this size needs. @throws ApiError `resource_error` with `Retry-After` if that is not there */
  require(bytes: number): void {
    const more = bytes - this.#taken;
    if (bytes <= SMALL || more <= 0 || this.#closed) return;
    if (!this.#shares.fits(this.#client, more)) {
      throw new ApiError("resource_error", "too many large bodies are being received or answered", {
        headers: { "Retry-After": "5" },
      });
    }
    this.#shares.take(this.#client, more);
    this.#taken = bytes;
  }

  close(): void {
    this.#closed = true;
    this.#shares.give(this.#client, this.#taken);
    this.#taken = 0;
  }
}
