import type { HttpBindings } from "@hono/node-server";
import type { Context } from "hono";

/** The values that middleware and handlers share during one request. */
export interface Env {
  readonly Bindings: HttpBindings;
  readonly Variables: {
    readonly requestId: string;
    /** The client that calls a guarded operation. */
    readonly client: string;
    /** Aborted if the client disconnects before its answer is complete (`ClientLeft`), or the server cuts the request off. */
    readonly signal: AbortSignal;
    /** The operation's path. */
    readonly route: string;
    readonly openAi: boolean;
  };
}

/** Hono's context of a request to this API. */
export type ApiContext = Context<Env>;
