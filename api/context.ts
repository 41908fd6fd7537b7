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
    /** Aborts `signal`: nothing more of the answer will be sent. */
    readonly abandon: (why: Error) => void;
    /** Counts these choices towards the client's rate, besides the one that each request counts as. */
    readonly charge: (choices: number) => void;
    /** The operation's path. */
    readonly route: string;
    readonly openAi: boolean;
  };
}

/** Hono's context of a request to this API. */
export type ApiContext = Context<Env>;
